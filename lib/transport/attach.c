/*
 * attach.c: connections over sockets that the program has connected itself.
 *
 * Layer: transport.
 */
#include <unistd.h>

#include "transport/server.h"

static void
begin(void *arg)
{
	struct pfk_transport *tr = arg;
	int drained = tr->roster->member.drained;

	pfk__tcp_begin(tr, tr->roster->arg);
	/* The order to stop has come in between. */
	if (drained >= (int)PFK_DRAIN_STOP && tr->state == PFK__TCP_OPEN)
		pfk__tcp_drain(tr);
}

struct pfk_transport *
pfk_attach(struct pfk_loop *l, int fd, const struct pfk_protocol *proto,
    void *arg)
{
	struct pfk_addr peer;
	struct pfk_transport *tr;

	if (pfk__protocol_check("pfk_attach", proto) == -1 ||
	    pfk__connection_check(fd, &peer) == -1)
		return NULL;
	tr = pfk__roster_of_one(l, fd, &peer, proto, false);
	if (tr == NULL)
		return NULL;
	tr->roster->arg = arg;
	/* Not before this returns; and before any event, as they are later. */
	pfk__soon_add(l, &tr->soon, begin, tr);
	return tr;
}
