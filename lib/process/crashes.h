/*
 * crashes.h: whether a worker that crashes again and again gets a successor, and
 * when.
 *
 * Clients may send an input that crashes the worker as often as they like.  As
 * long as each crash removes its cause, all other connections go on.
 */
#ifndef PFK_PROCESS_CRASHES_H
#define PFK_PROCESS_CRASHES_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Whether a signal of a crash has ended a worker with that status of wait(2), or
 * an error a successor that still `begins`, for want of memory perhaps.
 */
bool pfk__crashes_ended(int status, bool begins);

/* Crashes in a row, each within a second of its worker's start. */
struct pfk__crashes {
	unsigned in_row;
	unsigned in_vain; /* the last ones, which have removed no cause */
};

/*
 * A worker has crashed, ran_ns after its start.  removed: it had served, and an
 * input was found that is at fault and is removed.
 */
void pfk__crashes_note(struct pfk__crashes *c, uint64_t ran_ns, bool removed);

/* The next worker would crash, too. */
bool pfk__crashes_are_in_vain(const struct pfk__crashes *c);

/* How long the next worker waits for its start. */
uint64_t pfk__crashes_pause(const struct pfk__crashes *c);

#endif
