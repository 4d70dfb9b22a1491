/*
 * listener.c: open one socket of a SO_REUSEPORT group.
 *
 * Layer: net.  The option is also a silent permission for a second instance
 * of the same user to join in.  So the first socket of a group is bound, and
 * listens, without it, which fails if anybody has the port; then it gets the
 * option, and its siblings join.
 */
#include "net/listener.h"

#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "net/sockopts.h"

static int
set(int fd, int level, int option, int value, const char *name,
    const char **step)
{
	*step = name;
	return setsockopt(fd, level, option, &value, sizeof(value));
}

/* The same where the protocol may lack the option, as Multipath TCP does. */
static int
set_if_any(int fd, int level, int option, int value, const char *name,
    const char **step)
{
	if (set(fd, level, option, value, name, step) == 0 ||
	    pfk__sockopt_lacking(errno))
		return 0;
	return -1;
}

const char *
pfk__kind_name(enum pfk_kind kind)
{
	return kind == PFK_TCP ? "tcp" : "udp";
}

/* The broken socket cannot be mended: its connections would be shut down, too. */
bool
pfk__listener_broken(int fd, enum pfk_kind kind)
{
	struct pfk_addr name = {.len = sizeof(name.in6)};
	struct pollfd p = {.fd = fd};
	int listens = 0;
	socklen_t len = sizeof(listens);

	if (kind == PFK_TCP)
		return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens,
			   &len) == 0 &&
		    !listens;
	/* Shut down, or no longer bound. */
	if (poll(&p, 1, 0) == 1 && (p.revents & POLLHUP) != 0)
		return true;
	return getsockname(fd, &name.sa, &name.len) == 0 &&
	    (name.sa.sa_family == AF_INET || name.sa.sa_family == AF_INET6) &&
	    pfk_addr_port(&name) == 0;
}

/* Set the options that take effect only before bind(2). */
static int
prepare(int fd, enum pfk_kind kind, const struct pfk_addr *addr,
    const struct pfk_sockopts *o, const char **step)
{
	bool v6 = addr->sa.sa_family == AF_INET6;

	if (v6 &&
	    set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY", step) == -1)
		return -1;
	if (kind == PFK_TCP) {
		/* Urgent data is data: without this it is lost to recv(2). */
		if (set(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR",
			step) == -1 ||
		    set_if_any(fd, SOL_SOCKET, SO_OOBINLINE, 1, "SO_OOBINLINE",
			step) == -1)
			return -1;
	} else if (pfk_addr_is_any(addr)) {
		/* Answer from the address that was asked. */
		if (v6 ? set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1,
			     "IPV6_RECVPKTINFO", step) == -1
		       : set(fd, IPPROTO_IP, IP_PKTINFO, 1, "IP_PKTINFO",
			     step) == -1)
			return -1;
	}
	return pfk__sockopts_set(fd, kind, o, step);
}

/* listen(2) again on a listener only changes its backlog. */
static int
start_listening(int fd, const struct pfk_sockopts *o, const char **step)
{
	if (o->fastopen > 0 &&
	    set_if_any(fd, IPPROTO_TCP, TCP_FASTOPEN, o->fastopen,
		"TCP_FASTOPEN", step) == -1)
		return -1;
	*step = "listen";
	return listen(fd, o->backlog != PFK_UNSET ? o->backlog : INT_MAX);
}

int
pfk__listener_tune(int fd, enum pfk_kind kind, const struct pfk_sockopts *o,
    const char **step)
{
	if (pfk__sockopts_set(fd, kind, o, step) == -1)
		return -1;
	return kind == PFK_TCP ? start_listening(fd, o, step) : 0;
}

static int
bind_in_group(int fd, enum pfk_kind kind, const struct pfk_addr *addr,
    enum pfk__group group, const struct pfk_sockopts *o, const char **step)
{
	if (prepare(fd, kind, addr, o, step) == -1)
		return -1;
	if (group == PFK__GROUP_JOIN &&
	    set(fd, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT", step) == -1)
		return -1;
	*step = "bind";
	if (bind(fd, &addr->sa, addr->len) == -1)
		return -1;
	if (kind == PFK_TCP && start_listening(fd, o, step) == -1)
		return -1;
	if (group == PFK__GROUP_FOUND)
		return set(fd, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT",
		    step);
	return 0;
}

int
pfk__listener_open(enum pfk_kind kind, const struct pfk_addr *addr,
    enum pfk__group group, const struct pfk_sockopts *o, struct pfk_addr *bound,
    const char **step)
{
	int type = kind == PFK_TCP ? SOCK_STREAM : SOCK_DGRAM;
	int fd, saved_errno;

	*step = "socket";
	fd = socket(addr->sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (bind_in_group(fd, kind, addr, group, o, step) == -1)
		goto err;
	*bound = *addr;
	bound->len = sizeof(bound->in6);
	*step = "getsockname";
	if (getsockname(fd, &bound->sa, &bound->len) == -1)
		goto err;
	return fd;
err:
	saved_errno = errno;
	close(fd);
	errno = saved_errno;
	return -1;
}
