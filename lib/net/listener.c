/*
 * listener.c: open one socket of a SO_REUSEPORT group.
 *
 * Layer: net.  The option is also a silent permission for a second instance
 * of the same user to join in.  So the first socket of a group is bound, and
 * listens, without it, which fails if anybody has the port; then it gets the
 * option, and its siblings join.
 */
#include "net/listener.h"
#include "net/addr.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "net/defaults.h"
#include "net/sockopts.h"

#ifndef IPV6_MINHOPCOUNT
#define IPV6_MINHOPCOUNT 73
#endif

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

static bool
is_shut_down(int fd, enum pfk_kind kind, const struct pfk_addr *name)
{
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
	return (name->sa.sa_family == AF_INET ||
		   name->sa.sa_family == AF_INET6) &&
	    pfk_addr_port(name) == 0;
}

static bool
is_set(int fd, int level, int option)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, option, &value, &len) == 0 && value != 0;
}

/* A link-local address binds it to a device by itself. */
static bool
is_bound_to_device(int fd, const struct pfk_addr *name)
{
	char device[IF_NAMESIZE];
	socklen_t len = sizeof(device);

	if (name->sa.sa_family == AF_INET6 && name->in6.sin6_scope_id != 0)
		return false;
	return getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, &len) == 0 &&
	    len > 0;
}

/* A socket that is shut down cannot be mended: its connections would end, too. */
const char *
pfk__listener_fault(int fd, enum pfk_kind kind)
{
	struct pfk_addr name = {.len = sizeof(name.in6)}, peer = name;

	if (getsockname(fd, &name.sa, &name.len) == -1)
		name.sa.sa_family = AF_UNSPEC;
	if (is_shut_down(fd, kind, &name))
		return "was shut down from outside (ss -K, or shutdown(2))";
	if (is_set(fd, SOL_SOCKET, SO_LOCK_FILTER))
		return "has got a locked filter, as by a hostile worker";
	if (kind == PFK_UDP && getpeername(fd, &peer.sa, &peer.len) == 0)
		return "was connected to one peer, as by a hostile worker";
	if (is_bound_to_device(fd, &name))
		return "was bound to a device, as by a hostile worker";
	if (is_set(fd, IPPROTO_IP, IP_MINTTL) ||
	    is_set(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT))
		return "refuses low TTLs, as by a hostile worker";
	if (is_set(fd, SOL_SOCKET, SO_DONTROUTE))
		return "sends past the routes, as by a hostile worker";
	return NULL;
}

void
pfk__listener_reclaim(int fd)
{
	int on = 1;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &on, sizeof(on));
	pfk__defaults_restore(fd);
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
	} else if (pfk__addr_is_any(addr)) {
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
