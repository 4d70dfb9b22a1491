/*
 * join.h: forward the bytes that one transport receives to another, or back
 * (echo).
 *
 * Invariants:
 *  1. sink and source mirror each other, and one transport has one of each at
 *     most; a transport that echoes is its own sink and source, and that alone
 *     takes no joint;
 *  2. the bytes in a joint's pipe are its own transport's unsent ones; `out`
 *     is empty while there are any, and the joint holds a pipe exactly then;
 *  3. a source is not read while its sink has anything unsent.
 */
#ifndef PFK_TRANSPORT_JOIN_H
#define PFK_TRANSPORT_JOIN_H

#include "base/pipes.h"
#include "transport/tcp.h"

struct pfk__joint {
	struct pfk_transport *sink;
	struct pfk_transport *source;
	struct pfk__pipe pipe;
	size_t in_pipe;
};

/* The number of unsent bytes, in `out` or in the pipe. */
static inline size_t
pfk__unsent(const struct pfk_transport *tr)
{
	return tr->out.len + (tr->joint != NULL ? tr->joint->in_pipe : 0);
}

static inline struct pfk_transport *
pfk__join_sink(struct pfk_transport *tr)
{
	if (tr->echoes)
		return tr;
	return tr->joint != NULL ? tr->joint->sink : NULL;
}

/* It is joined to another one, in either direction. */
static inline bool
pfk__join_paired(const struct pfk_transport *tr)
{
	return tr->joint != NULL &&
	    (tr->joint->sink != NULL || tr->joint->source != NULL);
}

/* One read, on to the sink; true while more may be there. */
bool pfk__join_receive(struct pfk_transport *from);

/* Send the bytes in the pipe; false when nothing moved, or it is lost. */
bool pfk__join_flush(struct pfk_transport *tr);

/* Move the bytes in the pipe to `out`; -1: it cannot be had. */
int pfk__join_spill(struct pfk_transport *tr);

/* Take a pipe over, with the n bytes in it; -1 with errno. */
int pfk__join_rebuild(struct pfk_transport *tr, struct pfk__pipe pipe,
    size_t n);

/* Nothing more can be sent: its source is on its own. */
void pfk__join_end_sink(struct pfk_transport *tr);

/* It is lost: drop the bytes in its pipe, too. */
void pfk__join_lost(struct pfk_transport *tr);

#endif
