/*
 * stall.h: does a slot's queue move?  A pure function, as slot.h.
 *
 * A loop that turns serves its queue.  So a queue is stalled when it is not empty
 * and the loop has not turned for a while.  The time counts from the moment when
 * both became true, to within one sampling interval.
 */
#ifndef PFK_PROCESS_STALL_H
#define PFK_PROCESS_STALL_H

#include <stdbool.h>
#include <stdint.h>

/* How long a queue may stand before a sibling is asked. */
#define PFK__PATIENCE_NS (40 * UINT64_C(1000000))

/* Minimum time of help, so that a flapping worker does not change each turn. */
extern uint64_t pfk__convalescence_ns;

struct pfk__stall {
	bool stalled;      /* it gets help, for some seconds at least */
	bool still;        /* stalled, and the loop has not turned since */
	bool queued;       /* something waits, as far as is known */
	uint64_t since_ns; /* it may stand since then */
	uint64_t ill_ns;   /* when it stood still the last time */
	uint64_t beat;     /* the loop's last turn, as known */
};

/* The queue is seen not to be empty; beat is when the loop last turned. */
void pfk__stall_queued(struct pfk__stall *s, uint64_t beat, uint64_t now_ns);

/*
 * Look again; waiting is whether anything is queued now.  Returns when to look
 * next, or 0: once something is queued.  No beat, not even one in the future,
 * makes that later than PFK__PATIENCE_NS from now.
 */
uint64_t pfk__stall_look(struct pfk__stall *s, bool waiting, uint64_t beat,
    uint64_t now_ns);

#endif
