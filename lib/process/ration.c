/*
 * ration.c: bound the CPU time of the master that requests of others take.
 *
 * Layer: process.
 */
#include "process/ration.h"

#include <prefork.h>
#include <time.h>

static uint64_t
cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * PFK_SECOND_NS + (uint64_t)ts.tv_nsec;
}

/* Time forgives its part of the debt. */
static void
forgive(struct pfk__ration *r, uint64_t now_ns)
{
	uint64_t part;

	if (now_ns <= r->at_ns)
		return;
	part = (now_ns - r->at_ns) / PFK__RATION_PART;
	r->spent_ns -= part < r->spent_ns ? part : r->spent_ns;
	r->at_ns = now_ns;
}

void
pfk__ration_charge(struct pfk__ration *r, uint64_t now_ns, uint64_t cost_ns)
{
	forgive(r, now_ns);
	r->spent_ns += cost_ns;
}

void
pfk__ration_begin(struct pfk__ration *r)
{
	r->begun_ns = cpu_ns();
}

void
pfk__ration_end(struct pfk__ration *r, uint64_t now_ns)
{
	pfk__ration_charge(r, now_ns, cpu_ns() - r->begun_ns);
}

uint64_t
pfk__ration_wait_ns(struct pfk__ration *r, uint64_t now_ns)
{
	forgive(r, now_ns);
	if (r->spent_ns <= PFK__RATION_BURST_NS)
		return 0;
	return (r->spent_ns - PFK__RATION_BURST_NS) * PFK__RATION_PART +
	    PFK__RATION_REST_NS;
}
