/*
 * explain.c: why a socket call about an address failed, in words.
 *
 * Layer: net.  ip(7), tcp(7), bind(2), connect(2).
 */
#include "net/explain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/why.h"

const char *
pfk__explain_step(char *dst, const char *step)
{
	static const struct {
		const char *step, *verb;
	} verbs[] = {
	    {"socket", "open a socket for"},
	    {"bind", "bind"},
	    {"listen", "listen on"},
	    {"connect", "connect to"},
	    {"getsockname", "ask for the address of"},
	};

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(step, verbs[i].step) == 0) {
			strlcpy(dst, verbs[i].verb, PFK__EXPLAIN_SIZE);
			return dst;
		}
	}
	snprintf(dst, PFK__EXPLAIN_SIZE, "set %s on", step);
	return dst;
}

/* The lowest port that needs no privilege: ip-sysctl.txt. */
static int
unprivileged_ports(void)
{
	FILE *f = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
	int start = 1024;

	if (f == NULL)
		return start;
	if (fscanf(f, "%d", &start) != 1)
		start = 1024;
	fclose(f);
	return start;
}

static void
forbidden(char *dst, const char *step, int error, const struct pfk_addr *addr)
{
	int start = unprivileged_ports();

	if (strcmp(step, "bind") == 0 && pfk_addr_port(addr) > 0 &&
	    pfk_addr_port(addr) < start)
		snprintf(dst, PFK__EXPLAIN_SIZE,
		    "ports below %d need root or CAP_NET_BIND_SERVICE, or a "
		    "lower net.ipv4.ip_unprivileged_port_start",
		    start);
	else if (strcmp(step, "connect") == 0 && error != ENOSYS)
		snprintf(dst, PFK__EXPLAIN_SIZE,
		    "%s; is it a broadcast address, or is there a firewall?",
		    strerror(error));
	else
		snprintf(dst, PFK__EXPLAIN_SIZE,
		    "%s; is there a security policy or a seccomp filter?",
		    strerror(error));
}

const char *
pfk__explain(char *dst, const char *step, int error,
    const struct pfk_addr *addr)
{
	const char *why;

	switch (error) {
	case EACCES:
	case EPERM:
	case ENOSYS:
		forbidden(dst, step, error, addr);
		return dst;
	case EADDRNOTAVAIL:
		why = strcmp(step, "connect") == 0
		    ? "no source address and port are free for it; see "
		      "net.ipv4.ip_local_port_range"
		    : "this machine has no such address; ip address lists "
		      "them";
		break;
	case EADDRINUSE:
		why = "another socket has it; take another port";
		break;
	case EAFNOSUPPORT:
		why = addr->sa.sa_family == AF_INET6
		    ? "this machine has no IPv6; leave it out, with -4 for "
		      "instance"
		    : "this machine has no IPv4";
		break;
	case EAGAIN:
		why = "no source port is free; see "
		      "net.ipv4.ip_local_port_range";
		break;
	default:
		why = pfk__why(error);
	}
	strlcpy(dst, why, PFK__EXPLAIN_SIZE);
	return dst;
}
