/*
 * kill.c: end the connections of one peer.
 *
 * Layer: transport.  The bytes that were not sent yet are dropped, because a peer
 * that is to be cut off may never take them.
 */
#include "transport/kill.h"

#include "transport/server.h"
#include "transport/tcp.h"

int
pfk__tcp_kill(struct pfk_loop *l, const struct pfk_addr *peer)
{
	struct pfk_transport *tr, *next;
	struct pfk_server *s = NULL;
	bool leaving = false;
	int n = 0;

	while ((s = pfk__server_next(l, s)) != NULL) {
		TAILQ_FOREACH_SAFE(tr, &s->roster.transports, link, next) {
			if (tr->state == PFK__TCP_LOST ||
			    !pfk_addr_equal(&tr->peer, peer))
				continue;
			if (tr->state == PFK__TCP_GIVEN) {
				leaving = true;
				continue;
			}
			tr->cut = true;
			pfk_abort(tr);
			n++;
		}
	}
	return n == 0 && leaving ? -1 : n;
}
