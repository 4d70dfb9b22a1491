/*
 * input.h: received bytes that the protocol has not consumed, and their division
 * into messages.
 *
 * A protocol that asks for nothing gets the bytes of each read, in the loop's
 * scratch area, and nothing is kept.  Otherwise the unconsumed bytes are kept in chunks
 * of the ledger, and stand before the next ones in the scratch area when there
 * are enough of them for a message.  All messages of one read are one
 * transaction (tx.h), but for those that wait because too much is unsent.
 *
 * The position of a byte is its place in the connection's input; in chunks it has
 * PFK__INPUT added, because output has positions of its own.  A record's version
 * has the position `in` up to which bytes were received and dealt with, and how many
 * before it, `left`, are not consumed.  Chunks with other positions do not count.
 *
 * Invariants:
 *  1. between callbacks `left` holds no whole message, unless the connection is
 *     paused or blocked, or `soon` is queued;
 *  2. it holds at most PFK_RECEIVE_MAX bytes and those of one read.
 */
#ifndef PFK_TRANSPORT_INPUT_H
#define PFK_TRANSPORT_INPUT_H

#include "transport/tcp.h"

#define PFK__INPUT (UINT64_C(1) << 63)

/* The transport of this input has, or may get, unconsumed bytes. */
static inline bool
pfk__has_input(const struct pfk_transport *tr)
{
	return tr->extra != NULL &&
	    (tr->extra->in.mode != PFK__RECEIVE_ANY ||
		tr->extra->in.left.len > 0);
}

/* Messages wait between pause_writing and resume_writing. */
static inline bool
pfk__input_blocked(const struct pfk_transport *tr)
{
	return tr->told_pause && tr->extra != NULL &&
	    tr->extra->in.mode != PFK__RECEIVE_ANY;
}

/* One read; true while more may be there. */
bool pfk__input_receive(struct pfk_transport *tr);

/*
 * n bytes were received, at buf in the scratch area: give the protocol those that
 * it wants, and keep the rest.
 */
void pfk__input_deliver(struct pfk_transport *tr, char *buf, size_t n);

/*
 * The callback that got n bytes at buf has asked for messages, or has left some
 * unconsumed, for the first time.
 */
void pfk__input_first(struct pfk_transport *tr, const char *buf, size_t n);

/* It is paused or blocked no more: deliver messages that have come, soon. */
void pfk__input_go_on(struct pfk_transport *tr);

/* It is joined: its unconsumed bytes go first. */
void pfk__input_pass_on(struct pfk_transport *tr);

/* Keep n unconsumed bytes of another process.  -1: ENOMEM. */
int pfk__input_restore(struct pfk_transport *tr, const void *buf, size_t n);

/* It is about to be freed. */
void pfk__input_clear(struct pfk_transport *tr);

#endif
