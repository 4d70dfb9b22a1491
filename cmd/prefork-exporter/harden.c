/*
 * harden.c: a parser of strangers' bytes needs few rights.
 *
 * As root it keeps the right to open the control sockets of other users, and no
 * other; nothing that it executes gets more; it writes no files and leaves no core
 * with the services' peers in it.
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "exporter.h"

static int
keep_one_capability(void)
{
	struct __user_cap_header_struct head = {
	    .version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};
	unsigned keep = 1u << CAP_DAC_OVERRIDE;

	if (syscall(SYS_capget, &head, data) == -1)
		return -1;
	keep &= data[0].permitted;
	memset(data, 0, sizeof(data));
	data[0].effective = data[0].permitted = keep;
	return (int)syscall(SYS_capset, &head, data);
}

void
harden(void)
{
	const struct rlimit none = {0, 0};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		pfk_warn("cannot forbid new privileges");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		pfk_warn("cannot forbid core dumps");
	if (setrlimit(RLIMIT_CORE, &none) == -1)
		pfk_warn("cannot set the limit of core files to 0");
	if (keep_one_capability() == -1)
		pfk_warn("cannot give up capabilities");
}
