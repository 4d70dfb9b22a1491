/*
 * heartbeat.h: does a worker's loop still turn?
 *
 * A worker notes the time of each turn in a page that it shares with the
 * master, and turns now and then even when it is idle.  The master judges by
 * that alone: it needs nothing of a worker that hangs.
 */
#ifndef PFK_PROCESS_HEARTBEAT_H
#define PFK_PROCESS_HEARTBEAT_H

#include <stdint.h>

#include "process/keeper.h"

struct pfk_loop;
struct pfk__pages;

/* What the master knows of one worker. */
struct pfk__pulse {
	struct pfk__page *page; /* shared; its beat is the worker's */
	uint64_t seen;
	uint64_t seen_ns;  /* when it last changed */
	uint64_t abort_ns; /* when the worker was told to die; 0: not yet */
};

enum pfk__verdict {
	PFK__VERDICT_ALIVE,
	PFK__VERDICT_HUNG, /* said once: time for its last words */
	PFK__VERDICT_LOST  /* it does not even die */
};

/* How long a hung worker has for its last words. */
#define PFK__LAST_WORDS_NS (2 * UINT64_C(1000000000))

int pfk__pulse_open(struct pfk__pulse *p, struct pfk__pages *pages,
    uint64_t now_ns);
void pfk__pulse_close(struct pfk__pulse *p, struct pfk__pages *pages);

/* Forget how long it has stood still: the machine itself was suspended. */
void pfk__pulse_excuse(struct pfk__pulse *p, uint64_t now_ns);

enum pfk__verdict pfk__pulse_judge(struct pfk__pulse *p, uint64_t now_ns,
    uint64_t timeout_ns);

/* In the worker: turn at least so often, and say on SIGABRT where it was. */
void pfk__heartbeat_start(struct pfk_loop *l, uint64_t *page,
    uint64_t every_ns);

#endif
