/*
 * tx.h: callbacks as transactions.
 *
 * A callback of a connection that survives its worker either has happened as a
 * whole or not at all: the bytes that it was given, its block, its output, and
 * its calls on other connections.  So a successor runs a callback again that
 * its predecessor died in, and to the peers each thing happens once.
 *
 * Output is queued while the callback runs.  At its end each connection that
 * was touched gets a new version in its record; one store commits them all
 * (ledger.h); and then the queues are sent.
 *
 * Invariants:
 *  1. within a transaction nothing is sent for a connection that survives;
 *  2. the record of a connection that is not touched is its state.
 */
#ifndef PFK_TRANSPORT_TX_H
#define PFK_TRANSPORT_TX_H

#include "transport/tcp.h"

/* They nest; the outermost end commits.  The kind is that of the callback. */
void pfk__tx_begin(struct pfk_transport *tr, enum pfk__tx_kind kind);
void pfk__tx_end(struct pfk_loop *l);

/* The transaction under way has changed it. */
void pfk__tx_touch(struct pfk_transport *tr);

/* For pfk_hand_over_block: write the block to buf, which returns its length. */
ssize_t pfk__block_save(struct pfk_transport *tr, void *buf);
void pfk__block_load(struct pfk_transport *tr, const void *buf, size_t len);

/* Whether its output waits for the end of a transaction. */
static inline bool
pfk__tx_holds(const struct pfk_transport *tr)
{
	return tr->survives && tr->io.loop->tx_depth > 0;
}

#endif
