/*
 * deadline.h: times by which a connection must have received or sent.
 *
 * The times stand in the connection's record, so that a successor of this
 * process goes on with them.  One timer is for both, and is set only where it
 * would come too late, so that a deadline for each message costs no heap.
 */
#ifndef PFK_TRANSPORT_DEADLINE_H
#define PFK_TRANSPORT_DEADLINE_H

#include "transport/tcp.h"

struct pfk__deadlines {
	uint64_t read_ns;  /* 0: none */
	uint64_t write_ns; /* 0: none */
	uint64_t write_to; /* the position that must have been sent by then */
	uint64_t fires_ns; /* when the timer, if set, does */
	struct pfk_timer *timer;
};

/* Go on with those of a predecessor's record. */
void pfk__deadlines_restore(struct pfk_transport *tr,
    const struct pfk__record *r);

/* It is lost; and about to be freed. */
void pfk__deadlines_cancel(struct pfk_transport *tr);
void pfk__deadlines_free(struct pfk_transport *tr);

#endif
