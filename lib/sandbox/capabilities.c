/*
 * capabilities.c: give up capabilities(7), in each of the five sets.
 *
 * Layer: sandbox.  capset(2), prctl(2).
 */
#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/sandbox.h"

#define SETS (_LINUX_CAPABILITY_U32S_3)

static int
get(struct __user_cap_data_struct sets[SETS])
{
	struct __user_cap_header_struct h = {
	    .version = _LINUX_CAPABILITY_VERSION_3};

	return (int)syscall(SYS_capget, &h, sets);
}

/* Programs that are executed later get none from there, and file ones do not. */
static void
bound(uint64_t mask)
{
	for (unsigned long c = 0; c < 64; c++) {
		if ((mask & (1ULL << c)) == 0 &&
		    prctl(PR_CAPBSET_READ, c, 0, 0, 0) == 1)
			prctl(PR_CAPBSET_DROP, c, 0, 0, 0);
	}
}

int
pfk__capabilities_keep(uint64_t mask)
{
	struct __user_cap_header_struct h = {
	    .version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[SETS];

	/* Needs CAP_SETPCAP; without it, no_new_privs does the same. */
	bound(mask);
	/* The kernel takes from it what the permitted set loses. */
	if (mask == 0)
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (get(sets) == -1)
		return -1;
	for (int i = 0; i < SETS; i++) {
		uint32_t m = (uint32_t)(mask >> (32 * i));

		sets[i].effective &= m;
		sets[i].permitted &= m;
		sets[i].inheritable &= m;
	}
	return (int)syscall(SYS_capset, &h, sets);
}
