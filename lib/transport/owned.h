/*
 * owned.h: buffers that the program has handed over, in a connection's queue.
 *
 * They are not copied, but are sent from the program's memory, between the chunks of the
 * queue (outq.h), and released from the loop when they are sent or the
 * connection is lost.  Connections that survive their worker have none, because
 * a successor could not read them.
 *
 * Invariant: chunks and buffers together hold the positions pos to pos + len - 1
 * of the queue without a gap, and in order.
 */
#ifndef PFK_TRANSPORT_OWNED_H
#define PFK_TRANSPORT_OWNED_H

#include "transport/tcp.h"

/*
 * Queue the buffer behind all that is queued.  -1 with ENOMEM: it stays the
 * program's.
 */
int pfk__owned_append(struct pfk_transport *tr, const void *buf, size_t len,
    void (*release)(void *arg), void *arg);

/*
 * The release of a buffer that was copied: made, NULL with ENOMEM, and then
 * called from the loop, or dropped.
 */
struct pfk__owned *pfk__owned_new(void (*release)(void *arg), void *arg);
void pfk__owned_release(struct pfk_loop *l, struct pfk__owned *o);
void pfk__owned_drop(struct pfk__owned *o);

/* As pfk__outq_vectors and pfk__outq_consume, of chunks and buffers. */
int pfk__owned_vectors(const struct pfk_transport *tr, struct iovec *iov,
    int max);
void pfk__owned_consume(struct pfk_transport *tr, size_t n);

/* Copy all buffers into chunks.  -1: ENOMEM, nothing has changed. */
int pfk__owned_copy(struct pfk_transport *tr);

static inline bool
pfk__owns(const struct pfk_transport *tr)
{
	return tr->extra != NULL && !STAILQ_EMPTY(&tr->extra->owned);
}

#endif
