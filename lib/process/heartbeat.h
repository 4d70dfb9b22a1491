/*
 * heartbeat.h: does a worker's loop still turn?
 *
 * A worker notes the time of each turn in a page that it shares with the
 * master, and turns now and then even when it is idle.  Where it does not, the
 * master asks the kernel why: a worker that computes is judged by the CPU time
 * that it uses, one that waits for something else by the time that passes, and
 * one that waits for a CPU, or that a debugger holds, by neither.
 */
#ifndef PFK_PROCESS_HEARTBEAT_H
#define PFK_PROCESS_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

#include "process/keeper.h"

struct pfk_loop;
struct pfk__pages;

/* The master's knowledge of one worker's beats. */
struct pfk__pulse {
	struct pfk__page *page; /* shared; its beat is the worker's */
	uint64_t seen;
	uint64_t seen_ns;  /* when it last changed */
	uint64_t abort_ns; /* when the worker was told to die; 0: not yet */
	uint64_t cpu_ns;   /* the worker's CPU time soon after `seen_ns` */
	bool cpu_known;
};

/* The kernel's view of a process with a loop that does not turn. */
struct pfk__look {
	uint64_t cpu_ns; /* CPU time that it has used, ever */
	char state;      /* proc(5): R runs or waits for a CPU */
	bool traced;     /* by a debugger */
};

/* A loop that computes for so long without a turn spins. */
#define PFK__SPIN_NS (3 * UINT64_C(1000000000))

enum pfk__verdict {
	PFK__VERDICT_ALIVE,
	PFK__VERDICT_HUNG, /* said once: time for its last words */
	PFK__VERDICT_LOST  /* it does not even die */
};

/* How long a hung worker has for its last words, unless it is stopped. */
#define PFK__LAST_WORDS_NS (2 * UINT64_C(1000000000))

int pfk__pulse_open(struct pfk__pulse *p, struct pfk__pages *pages,
    uint64_t now_ns);
void pfk__pulse_close(struct pfk__pulse *p, struct pfk__pages *pages);

/* Forget how long it has stood still: the machine itself was suspended. */
void pfk__pulse_excuse(struct pfk__pulse *p, uint64_t now_ns);

/* It is another process from now on. */
void pfk__pulse_restart(struct pfk__pulse *p, uint64_t now_ns);

/* How long the loop has stood still. */
uint64_t pfk__pulse_still(struct pfk__pulse *p, uint64_t now_ns);

/* Whether it has computed without a turn for so long that it hangs. */
bool pfk__pulse_spins(struct pfk__pulse *p, uint64_t timeout_ns,
    uint64_t cpu_ns);

/* Whether it stands still for so long, by its own fault and no debugger's. */
bool pfk__pulse_stands(struct pfk__pulse *p, uint64_t now_ns,
    uint64_t timeout_ns, const struct pfk__look *look);

/* look is NULL where the kernel cannot be asked: then time alone counts. */
enum pfk__verdict pfk__pulse_judge(struct pfk__pulse *p, uint64_t now_ns,
    uint64_t timeout_ns, const struct pfk__look *look);

/*
 * In the master, before it forks: load the library that backtrace(3) needs, which
 * a worker cannot do in its last words, and each of them would do otherwise.
 */
void pfk__heartbeat_prepare(void);

/* In the worker: turn at least so often, and say on SIGABRT where it was. */
void pfk__heartbeat_start(struct pfk_loop *l, uint64_t *page,
    uint64_t every_ns);

#endif
