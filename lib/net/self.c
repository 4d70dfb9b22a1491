/*
 * self.c: client sockets that are connected to themselves.
 *
 * Layer: net.  Where nobody listens and the client's own port, given or chosen
 * by the kernel, is the port that it connects to, TCP's simultaneous open (RFC
 * 9293, 3.5) makes a connection of one socket, and a UDP socket receives its
 * own datagrams.  Both look like an echo server, and hold the server's port.
 */
#include "net/self.h"

#include <prefork.h>
#include <unistd.h>

static bool
addresses(int fd, struct pfk_addr *own, struct pfk_addr *peer)
{
	*own = *peer = (struct pfk_addr){.len = sizeof(own->in6)};
	return getsockname(fd, &own->sa, &own->len) == 0 &&
	    getpeername(fd, &peer->sa, &peer->len) == 0;
}

static bool
is_self(int fd)
{
	struct pfk_addr own, peer;

	return addresses(fd, &own, &peer) && pfk_addr_equal(&own, &peer);
}

bool
pfk__self_connected(int fd, uint16_t port)
{
	struct pfk_addr own = {.len = sizeof(own.in6)};

	/* Only rarely is the peer to be asked for, too. */
	return getsockname(fd, &own.sa, &own.len) == 0 &&
	    pfk_addr_port(&own) == port && is_self(fd);
}

bool
pfk__self_same_port(int fd)
{
	struct pfk_addr own, peer;

	return addresses(fd, &own, &peer) &&
	    pfk_addr_port(&own) == pfk_addr_port(&peer);
}

void
pfk__self_close(int fd)
{
	const struct linger reset = {.l_onoff = 1};

	if (is_self(fd))
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
}
