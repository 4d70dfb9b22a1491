/*
 * limits.h: admission of new connections to the servers of one loop.
 *
 * Invariants:
 *  1. `connections` counts transports from admission until their release;
 *  2. a server in `waiting` does not watch its listener; it leaves the list
 *     when a connection is released or the timer fires.
 */
#ifndef PFK_TRANSPORT_LIMITS_H
#define PFK_TRANSPORT_LIMITS_H

#include <prefork.h>
#include <sys/queue.h>

struct pfk__limits;

/* A server's place in the list of those that wait. */
struct pfk__waiter {
	TAILQ_ENTRY(pfk__waiter) link;
	void (*resume)(struct pfk__waiter *w);
	bool waiting;
};

/* Those of the loop, for one server more, which drops them.  NULL: no memory. */
struct pfk__limits *pfk__limits_hold(struct pfk_loop *l);
void pfk__limits_drop(struct pfk__limits **lim);

/* Whether one connection more may be admitted. */
bool pfk__limits_have_room(const struct pfk__limits *lim);

/*
 * Count a connection from addr; -1: it must be closed, there are too many
 * from there (or no memory to count them).
 */
int pfk__limits_admit(struct pfk__limits *lim, const struct pfk_addr *addr);
/* Count one that a predecessor or another worker has admitted before. */
void pfk__limits_readmit(struct pfk__limits *lim, const struct pfk_addr *addr);
void pfk__limits_release(struct pfk__limits *lim, const struct pfk_addr *addr);

/* Resume w when a connection has been released. */
void pfk__limits_wait(struct pfk__limits *lim, struct pfk__waiter *w);
/* The same, and after a tenth of a second at the latest. */
void pfk__limits_wait_briefly(struct pfk__limits *lim, struct pfk__waiter *w);
void pfk__limits_unwait(struct pfk__limits *lim, struct pfk__waiter *w);

/*
 * Out of descriptors: with the spare one, accept and close one connection of
 * the listener.
 */
void pfk__limits_shed(struct pfk__limits *lim, int listener);

/* Log a line of this kind, but one a second at most. */
void pfk__limits_complain(struct pfk__limits *lim, const char *fmt, ...)
    PFK_PRINTF(2, 3);

#endif
