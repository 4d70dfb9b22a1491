/*
 * Multipath TCP in the place of TCP, as mptcpize(8) puts it there for a program
 * that knows nothing of it: an option that the protocol lacks is reported, and no
 * reason to fail.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net/listener.h"
#include "net/sockopts.h"
#include "tap.h"

static const char *lacking;

/* In the place of libc's. */
int
socket(int domain, int type, int protocol)
{
	if ((type & 15) == SOCK_STREAM && domain != AF_UNIX)
		protocol = IPPROTO_MPTCP;
	return (int)syscall(SYS_socket, domain, type, protocol);
}

static void
note_report(void *arg, const char *name, int asked, int in_force,
    const char *sysctl)
{
	(void)arg;
	(void)asked;
	if (in_force == PFK_UNSET && sysctl == NULL)
		lacking = name;
}

static void
try_option(const char *name, size_t offset, int value)
{
	struct pfk_sockopts o;
	struct pfk_addr any, bound;
	const char *step = NULL;
	int fd;

	pfk_sockopts_init(&o);
	memcpy((char *)&o + offset, &value, sizeof(value));
	pfk_addr_parse(&any, "127.0.0.1", 0);
	fd = pfk__listener_open(PFK_TCP, &any, PFK__GROUP_FOUND, &o, &bound,
	    &step);
	ok(fd != -1, "%s: it listens (%s: %s)", name, step, strerror(errno));
	lacking = NULL;
	pfk__sockopts_report(fd, &o, note_report, NULL);
	/* Kernels differ in their options. */
	if (lacking != NULL)
		is_str(lacking, name, "%s: it is reported", name);
	close(fd);
}

int
main(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd == -1)
		skip_all("no Multipath TCP here");
	close(fd);
#define OPTION(name, field, value) \
	try_option(name, offsetof(struct pfk_sockopts, field), value)
	OPTION("receive-buffer", receive_buffer, 65536);
	OPTION("send-buffer", send_buffer, 65536);
	OPTION("nodelay", nodelay, 1);
	OPTION("keepalive", keepalive, 1);
	OPTION("keepalive idle", keep_idle, 60);
	OPTION("keepalive interval", keep_interval, 10);
	OPTION("keepalive count", keep_count, 3);
	OPTION("user-timeout", user_timeout, 1000);
	OPTION("defer-accept", defer_accept, 1);
	OPTION("syn-retries", syn_retries, 2);
	OPTION("unsent-limit", unsent_limit, 65536);
	OPTION("fastopen", fastopen, 5);
	return done_testing();
}
