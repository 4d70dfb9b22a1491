/*
 * cork.h: the small writes of one callback leave together when it returns.
 *
 * One connection of the loop may be corked: its bytes are gathered, and sent when
 * the callback returns, when another connection is written to, or when they are
 * many.  So the memory for it is bounded, and a line to each of 10,000
 * connections leaves as it would without.  Outside of callbacks, bytes leave at
 * once.  A connection that survives its worker has its transactions for that
 * (tx.h), and is never corked.
 *
 * Invariant: the gathered bytes are behind an empty queue.  Once the callback has
 * handed a buffer over (owned.h), they are queued instead, and the queue is sent.
 */
#ifndef PFK_TRANSPORT_CORK_H
#define PFK_TRANSPORT_CORK_H

#include "transport/tcp.h"

#define PFK__CORK_BYTES ((size_t)65536)

/* Send the bytes of the corked connection. */
void pfk__uncork(struct pfk_loop *l);

static inline void
pfk__tcp_uncork(struct pfk_transport *tr)
{
	if (tr->corked)
		pfk__uncork(tr->io.loop);
}

/* It is lost: there is nothing to send. */
static inline void
pfk__cork_forget(struct pfk_transport *tr)
{
	if (!tr->corked)
		return;
	tr->corked = false;
	tr->io.loop->corked = NULL;
	tr->io.loop->cork_len = 0;
}

#endif
