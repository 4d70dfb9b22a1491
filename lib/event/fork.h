/*
 * fork.h: a child of a loop's process must not go on with the loop.
 *
 * A callback may fork(2), and the child end by _exit(2) or execve(2).  If the
 * child returns to the library instead, two processes would serve the same
 * clients.  So after each callback the library looks whether it is in a child.
 * A worker's ledger, which it shares with its keeper, is read-only there.
 */
#ifndef PFK_EVENT_FORK_H
#define PFK_EVENT_FORK_H

#include "event/loop.h"

/* How many calls of fork(2) lie between the first process and this one. */
extern unsigned pfk__forks;

/* The loop belongs to this process; until it is freed. */
void pfk__fork_watch(struct pfk_loop *l);
void pfk__fork_unwatch(struct pfk_loop *l);

/* In the child of a clone(2), which runs no handler of pthread_atfork(3). */
void pfk__fork_noted(void);

/* Log it and end a worker's child; another process' loop ends with ECHILD. */
void pfk__fork_returned(struct pfk_loop *l);

/* Whether this is a child, in which nothing must be done for the loop. */
static inline bool
pfk__forked(struct pfk_loop *l)
{
	if (l->forks == pfk__forks)
		return false;
	pfk__fork_returned(l);
	return true;
}

#endif
