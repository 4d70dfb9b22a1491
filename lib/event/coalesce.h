/*
 * coalesce.h: whether a loop does more when it rests a moment before it waits.
 *
 * A loop that is faster than its peers is woken for every single event, and
 * being woken costs it and them more than the event.  What comes during a rest
 * is found in one turn, and wakes nobody.  Network interfaces have the same
 * trouble with interrupts and the same cure, ethtool(8)'s coalescing; that it
 * is chosen by trying is the way of Linux' net_dim.
 *
 * Invariants:
 *  1. no rest outside windows of time in which the loop turns often: one that
 *     has little to do is never late for it;
 *  2. no rest for long but where more was done with it than without it, in
 *     windows that took turns;
 *  3. what pays is tried anew every two seconds, and when there is more or less to do;
 *     what does not, ever more seldom.
 */
#ifndef PFK_EVENT_COALESCE_H
#define PFK_EVENT_COALESCE_H

#include <stdbool.h>
#include <stdint.h>

enum pfk__coalesce_state { PFK__WATCHING, PFK__TRYING, PFK__RESTING };

struct pfk__coalesce {
	enum pfk__coalesce_state state;
	bool rest; /* in this window */
	bool paid; /* as the last trial found */
	/* This window: when it began, with how much work, and its turns. */
	uint64_t begin_ns, begin_work;
	unsigned turns;
	/* Of this state: its windows, and what was done in them, ... */
	unsigned windows;
	/* ... [0], but in a trial with a rest [1]; kept while that pays. */
	uint64_t work[2], ns[2];
	/* No trial before, and how long until the one after it. */
	uint64_t due_ns, patience_ns;
};

/*
 * Once a turn, with the time and a count of all the work done so far, in
 * whatever unit.  True: rest before the wait.
 */
bool pfk__coalesce_turn(struct pfk__coalesce *c, uint64_t now, uint64_t work);

#endif
