/*
 * ration.h: bound the CPU time of the master that requests of others take.
 *
 * A request is accepted before its sender is known, so each one costs something.
 * A burst of PFK__RATION_BURST_NS is free; beyond it the requests of clients that
 * may not command have a tenth of one CPU, and wait in the backlog of the control
 * socket.
 */
#ifndef PFK_PROCESS_RATION_H
#define PFK_PROCESS_RATION_H

#include <stdint.h>

#define PFK__RATION_BURST_NS 20000000ULL
#define PFK__RATION_PART 10
/* A pause is so much longer than it has to be, and so more are taken after it. */
#define PFK__RATION_REST_NS 5000000ULL

struct pfk__ration {
	uint64_t spent_ns; /* and not yet forgiven, at at_ns */
	uint64_t at_ns;
	uint64_t begun_ns; /* CPU time of the thread */
};

/* A request begins: its cost is the CPU time of the thread from now on. */
void pfk__ration_begin(struct pfk__ration *r);

/* The CPU time since then, or the cost, at now_ns of the loop's clock. */
void pfk__ration_end(struct pfk__ration *r, uint64_t now_ns);
void pfk__ration_charge(struct pfk__ration *r, uint64_t now_ns,
    uint64_t cost_ns);

/* For how long no further one is accepted, from now_ns on; or 0. */
uint64_t pfk__ration_wait_ns(struct pfk__ration *r, uint64_t now_ns);

#endif
