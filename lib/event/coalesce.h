/*
 * coalesce.h: whether a loop does more when it rests a moment before it waits.
 *
 * A loop that is faster than its peers is woken for every single event, and
 * being woken costs it and them more than the event.  Events that arrive during
 * a rest are picked up in one turn, without a wake-up.  Network interfaces have
 * the same trouble with interrupts and the same cure, ethtool(8)'s coalescing;
 * that it is chosen by trying is the way of Linux' net_dim.
 *
 * Invariants:
 *  1. no rest before the loop has turned often for a while, and none for long
 *     after it has ceased to;
 *  2. no rest for long but where more was done with it than without it, in most
 *     of many windows that took turns, and that is tried anew after 2 s at most;
 *  3. a trial that does not show that, or is broken off, is followed by none
 *     for a time that doubles.
 */
#ifndef PFK_EVENT_COALESCE_H
#define PFK_EVENT_COALESCE_H

#include <stdbool.h>
#include <stdint.h>

enum pfk__coalesce_state {
	PFK__COALESCE_WATCHING,
	PFK__COALESCE_TRYING,
	PFK__COALESCE_RESTING
};

/* How much was done in how long. */
struct pfk__work {
	uint64_t done, ns;
};

struct pfk__coalesce {
	enum pfk__coalesce_state state;
	bool rest; /* in this window */
	/* This window: when it began, with how much work, and its turns. */
	uint64_t begin_ns, begin_work;
	unsigned turns;
	/* This state's windows; of a trial, the pairs that a rest has won. */
	unsigned windows, wins;
	/* A trial, without a rest and with it; a rest, at first and of late. */
	struct pfk__work sum[2];
	struct pfk__work before; /* the window before, in a trial */
	/* No trial before; how long it was from one that paid, or not. */
	uint64_t due_ns, paid_ns, patience_ns;
};

/*
 * Once a turn, with the time and a count of all the work done so far, in any
 * unit.  True: rest before the wait.
 */
bool pfk__coalesce_turn(struct pfk__coalesce *c, uint64_t now, uint64_t work);

#endif
