/*
 * pipes.h: a small pool of pipes for splice(2).
 *
 * Invariants:
 *  1. a pipe in `idle` is empty;
 *  2. `count` pipes exist, in `idle` or taken, PFK__PIPES_MAX at most.
 */
#ifndef PFK_BASE_PIPES_H
#define PFK_BASE_PIPES_H

/* Two descriptors each. */
#define PFK__PIPES_MAX 16

struct pfk__pipe {
	int out, in; /* as pipe(2): read from out, write to in */
};

/* All zero is a pool without pipes. */
struct pfk__pipes {
	struct pfk__pipe idle[PFK__PIPES_MAX];
	int idle_len;
	int count;
	int failures; /* takes that are still refused after a failure */
};

/* Take an empty, non-blocking pipe; -1: there is none. */
int pfk__pipes_take(struct pfk__pipes *p, struct pfk__pipe *pipe);

/* Count one more that is taken already; -1: there are too many. */
int pfk__pipes_adopt(struct pfk__pipes *p);

/* Give it back, empty. */
void pfk__pipes_give(struct pfk__pipes *p, struct pfk__pipe pipe);

/* Close a pipe that was taken, with the bytes in it. */
void pfk__pipes_drop(struct pfk__pipes *p, struct pfk__pipe pipe);

/* splice(2) is refused: close the idle ones, and let the next takes fail. */
void pfk__pipes_refuse(struct pfk__pipes *p);

/* Close those that are not taken. */
void pfk__pipes_free(struct pfk__pipes *p);

#endif
