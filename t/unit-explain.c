/*
 * explain.c, why.c: each message names the step, the cause and the cure, and
 * none is a bare "Resource temporarily unavailable".
 */
#include "net/explain.h"

#include <errno.h>
#include <string.h>

#include "base/why.h"
#include "tap.h"

static const struct {
	const char *step;
	int error;
	const char *host;
	uint16_t port;
	const char *text;
} cases[] = {
    {"bind", EADDRNOTAVAIL, "192.0.2.1", 80, "no such address"},
    {"connect", EADDRNOTAVAIL, "192.0.2.1", 80, "ip_local_port_range"},
    {"connect", EAGAIN, "192.0.2.1", 80, "ip_local_port_range"},
    {"connect", EACCES, "255.255.255.255", 80, "broadcast"},
    {"connect", EPERM, "192.0.2.1", 80, "firewall"},
    {"connect", ECONNREFUSED, "192.0.2.1", 80, "Connection refused"},
    {"bind", EADDRINUSE, "192.0.2.1", 80, "another socket"},
    {"bind", EACCES, "192.0.2.1", 0, "security policy"},
    {"socket", EACCES, "192.0.2.1", 1, "security policy"},
    {"socket", EAFNOSUPPORT, "::1", 80, "no IPv6"},
    {"socket", EAFNOSUPPORT, "127.0.0.1", 80, "no IPv4"},
    {"socket", EMFILE, "127.0.0.1", 80, "RLIMIT_NOFILE"},
    {"socket", ENFILE, "127.0.0.1", 80, "fs.file-max"},
    {"listen", ENOSYS, "127.0.0.1", 80, "seccomp filter"},
    {"connect", ENOSYS, "127.0.0.1", 80, "seccomp filter"},
};

static const struct {
	const char *step, *verb;
} verbs[] = {
    {"socket", "open a socket for"},
    {"bind", "bind"},
    {"listen", "listen on"},
    {"SO_REUSEADDR", "set SO_REUSEADDR on"},
};

int
main(void)
{
	char text[PFK__EXPLAIN_SIZE];
	struct pfk_addr a;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		pfk_addr_parse(&a, cases[i].host, cases[i].port);
		pfk__explain(text, cases[i].step, cases[i].error, &a);
		ok(strstr(text, cases[i].text) != NULL, "%s, errno %d: %s",
		    cases[i].step, cases[i].error, text);
	}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		is_str(pfk__explain_step(text, verbs[i].step), verbs[i].verb,
		    "%s", verbs[i].step);
	ok(strstr(pfk__why(EAGAIN), "pids.max") != NULL, "a process: %s",
	    pfk__why(EAGAIN));
	return done_testing();
}
