/*
 * misuse.c: protocols and descriptors that cannot work.
 *
 * Layer: transport.
 */
#include "base/misuse.h"

#include <errno.h>
#include <fcntl.h>

#include "net/addr.h"
#include "transport/server.h"

/* hand_over: both or none; but for a killed worker connection_resumed alone will do. */
static int
check_hand_over(const char *call, const struct pfk_protocol *proto)
{
	bool resumed = proto->connection_resumed != NULL;

	if (proto->hand_over != NULL && !resumed)
		return pfk__misuse(EINVAL,
		    "%s: the protocol has hand_over and no connection_resumed; "
		    "set both or none",
		    call);
	if (resumed && proto->hand_over == NULL && !proto->survives)
		return pfk__misuse(EINVAL,
		    "%s: the protocol has connection_resumed, and neither "
		    "hand_over nor survives",
		    call);
	if (proto->survives && !resumed)
		return pfk__misuse(EINVAL,
		    "%s: the protocol survives and has no connection_resumed",
		    call);
	if (proto->block_bytes > 0 && !proto->survives)
		return pfk__misuse(EINVAL,
		    "%s: the protocol has block_bytes and does not survive; set "
		    "survives, or its connections have no block",
		    call);
	return 0;
}

int
pfk__protocol_check(const char *call, const struct pfk_protocol *proto)
{
	if (proto == NULL)
		return pfk__misuse(EINVAL, "%s: no protocol", call);
	if (proto->connection_made == NULL)
		return pfk__misuse(EINVAL,
		    "%s: the protocol has no connection_made", call);
	return check_hand_over(call, proto);
}

int
pfk_set_protocol(struct pfk_transport *tr, const struct pfk_protocol *proto)
{
	if (proto == NULL)
		return pfk__misuse(EINVAL, "pfk_set_protocol: no protocol");
	if (check_hand_over("pfk_set_protocol", proto) == -1)
		return -1;
	tr->proto = proto;
	return 0;
}

/* A socket option's int; -1 with errno. */
static int
option(int fd, int name)
{
	socklen_t len = sizeof(int);
	int value;

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

static int
check_socket(const char *call, int fd, int type)
{
	int is = option(fd, SO_TYPE), error = errno, flags;

	/* Any other error may be a sandbox's. */
	if (is == -1 && (error == EBADF || error == ENOTSOCK))
		return pfk__misuse(error, "%s: descriptor %d is %s", call, fd,
		    error == EBADF ? "not open" : "no socket");
	if (is != -1 && is != type)
		return pfk__misuse(EINVAL, "%s: descriptor %d is no %s socket",
		    call, fd, type == SOCK_STREAM ? "stream" : "datagram");
	flags = fcntl(fd, F_GETFL);
	if (flags != -1 && (flags & O_NONBLOCK) == 0)
		return pfk__misuse(EINVAL,
		    "%s: descriptor %d blocks; set O_NONBLOCK", call, fd);
	return 0;
}

int
pfk__listener_check(const char *call, struct pfk_loop *l, int fd)
{
	const struct pfk__record *r = pfk__record(l->ledger, fd);

	if (check_socket(call, fd, SOCK_STREAM) == -1)
		return -1;
	/* One of pfk_worker_listen may have been shut down from outside. */
	if (r != NULL && r->entry == PFK__ENTRY_LISTENER)
		return 0;
	if (option(fd, SO_ACCEPTCONN) == 0)
		return pfk__misuse(EINVAL,
		    "%s: descriptor %d does not listen; listen(2) first", call,
		    fd);
	return 0;
}

int
pfk__datagram_check(int fd)
{
	struct pfk_addr a = {.len = sizeof(a.in6)};

	if (check_socket("pfk_datagram_open", fd, SOCK_DGRAM) == -1)
		return -1;
	if (getsockname(fd, &a.sa, &a.len) == 0 &&
	    (a.sa.sa_family == AF_INET || a.sa.sa_family == AF_INET6) &&
	    pfk_addr_port(&a) == 0)
		return pfk__misuse(EINVAL,
		    "pfk_datagram_open: descriptor %d is not bound; bind(2) or "
		    "connect(2) first",
		    fd);
	return 0;
}

int
pfk__connection_check(int fd, struct pfk_addr *peer)
{
	if (check_socket("pfk_attach", fd, SOCK_STREAM) == -1)
		return -1;
	*peer = (struct pfk_addr){.len = sizeof(peer->in6)};
	if (getpeername(fd, &peer->sa, &peer->len) == -1)
		return pfk__misuse(errno == ENOTCONN ? EINVAL : errno,
		    "pfk_attach: descriptor %d is not connected; connect(2) "
		    "first",
		    fd);
	pfk__addr_clip(peer);
	return 0;
}
