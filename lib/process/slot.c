/*
 * slot.c: the life of a worker's slot, as a pure function.
 *
 * Layer: process.
 */
#include "process/slot.h"

#include <assert.h>
#include <prefork.h>

/* Service of this length forgives half of the failures. */
#define FORGIVE_NS (300 * PFK_MSEC_NS)
/* So many deaths in a row are restarted at once. */
#define FREE_FAILURES 2
#define DELAY_FIRST_NS (50 * PFK_MSEC_NS)
#define DELAY_MAX_NS (10 * PFK_SECOND_NS)

/* Exponential, capped, and a quarter off either way so that slots spread. */
static uint64_t
delay(unsigned failures, uint32_t random)
{
	uint64_t ns = DELAY_FIRST_NS;

	if (failures <= FREE_FAILURES)
		return 0;
	for (unsigned n = failures - FREE_FAILURES; n > 1; n--)
		ns = ns < DELAY_MAX_NS ? 2 * ns : DELAY_MAX_NS;
	if (ns > DELAY_MAX_NS)
		ns = DELAY_MAX_NS;
	/* 30 bits do not overflow. */
	return ns - ns / 4 + (random >> 2) * (ns / 2) / (UINT32_MAX >> 2);
}

static unsigned
restart(struct pfk__slot *s, uint64_t now, uint32_t random)
{
	uint64_t wait = delay(++s->failures, random);

	s->renew = false;
	if (wait == 0) {
		s->state = PFK__SLOT_STARTING;
		return PFK__DO_SPAWN;
	}
	s->state = PFK__SLOT_BACKOFF;
	s->retry_ns = now + wait;
	return 0;
}

static void
forgive(struct pfk__slot *s, uint64_t now)
{
	uint64_t halves = (now - s->ready_ns) / FORGIVE_NS;

	s->failures = halves < 32 ? s->failures >> halves : 0;
}

static unsigned
spawn(struct pfk__slot *s, enum pfk__slot_state state)
{
	s->state = state;
	s->renew = false;
	return PFK__DO_SPAWN;
}

/* With the wish to renew a process, which ends with the slot's last one. */
static unsigned
empty(struct pfk__slot *s, unsigned todo)
{
	s->state = PFK__SLOT_EMPTY;
	s->renew = false;
	return todo;
}

static unsigned
in_starting(struct pfk__slot *s, enum pfk__slot_event event, uint64_t now,
    uint32_t random)
{
	switch (event) {
	case PFK__SLOT_READY:
		s->state = PFK__SLOT_SERVING;
		s->ready_ns = now;
		s->retry_ns = now;
		return PFK__DO_PROMOTE |
		    (s->renew ? spawn(s, PFK__SLOT_REPLACING) : 0);
	case PFK__SLOT_DIED_BOOTING:
		return restart(s, now, random);
	case PFK__SLOT_RENEW:
		s->renew = true;
		return 0;
	case PFK__SLOT_UNWANT:
		return empty(s, PFK__DO_KILL_BOOTING);
	default:
		return 0;
	}
}

static unsigned
in_serving(struct pfk__slot *s, enum pfk__slot_event event, uint64_t now,
    uint32_t random)
{
	switch (event) {
	case PFK__SLOT_DIED_SERVING:
		forgive(s, now);
		return restart(s, now, random);
	case PFK__SLOT_LEFT:
		/* Counts as a death: a worker may leave as soon as it serves. */
		forgive(s, now);
		s->renew = s->left = true;
		s->retry_ns = now + delay(++s->failures, random);
		return s->retry_ns > now ? 0 : spawn(s, PFK__SLOT_REPLACING);
	case PFK__SLOT_RENEW:
		s->left = false;
		return spawn(s, PFK__SLOT_REPLACING);
	case PFK__SLOT_TICK:
		if (s->renew && now >= s->retry_ns)
			return spawn(s, PFK__SLOT_REPLACING);
		return 0;
	case PFK__SLOT_UNWANT:
		return empty(s, PFK__DO_RETIRE);
	default:
		return 0;
	}
}

static unsigned
in_replacing(struct pfk__slot *s, enum pfk__slot_event event, uint64_t now,
    uint32_t random)
{
	switch (event) {
	case PFK__SLOT_READY:
		s->state = PFK__SLOT_SERVING;
		s->failures = s->left ? s->failures : 0;
		s->left = false;
		s->ready_ns = now;
		return PFK__DO_PROMOTE | PFK__DO_RETIRE |
		    (s->renew ? spawn(s, PFK__SLOT_REPLACING) : 0);
	case PFK__SLOT_DIED_BOOTING:
		s->state = PFK__SLOT_SERVING;
		s->renew = true;
		s->failures++;
		s->retry_ns = now + delay(s->failures + FREE_FAILURES, random);
		return 0;
	case PFK__SLOT_DIED_SERVING:
		s->state = PFK__SLOT_STARTING;
		return 0;
	case PFK__SLOT_RENEW:
		s->renew = true;
		return 0;
	case PFK__SLOT_UNWANT:
		return empty(s, PFK__DO_RETIRE | PFK__DO_KILL_BOOTING);
	default:
		return 0;
	}
}

static unsigned
in_backoff(struct pfk__slot *s, enum pfk__slot_event event, uint64_t now)
{
	switch (event) {
	case PFK__SLOT_TICK:
		if (now < s->retry_ns)
			return 0;
		return spawn(s, PFK__SLOT_STARTING);
	case PFK__SLOT_RENEW:
		/*
		 * Spawn at once, because the old configuration may be the cause
		 * of the failures.
		 */
		return spawn(s, PFK__SLOT_STARTING);
	case PFK__SLOT_UNWANT:
		return empty(s, 0);
	default:
		return 0;
	}
}

void
pfk__slot_check(const struct pfk__slot *s)
{
	assert(s->state <= PFK__SLOT_BACKOFF);
	/* Where no process is, none can be out of date. */
	assert(!s->renew ||
	    (s->state != PFK__SLOT_EMPTY && s->state != PFK__SLOT_BACKOFF));
	/* BACKOFF is the wait after a failure. */
	assert(s->state != PFK__SLOT_BACKOFF || s->failures > FREE_FAILURES);
}

unsigned
pfk__slot_step(struct pfk__slot *s, enum pfk__slot_event event, uint64_t now_ns,
    uint32_t random)
{
	if (event == PFK__SLOT_KEEP) {
		s->renew = false;
		return 0;
	}
	switch (s->state) {
	case PFK__SLOT_EMPTY:
		if (event != PFK__SLOT_WANT && event != PFK__SLOT_FOUND)
			return 0;
		*s = (struct pfk__slot){0};
		if (event == PFK__SLOT_FOUND) {
			s->state = PFK__SLOT_STARTING;
			return 0;
		}
		return spawn(s, PFK__SLOT_STARTING);
	case PFK__SLOT_STARTING:
		return in_starting(s, event, now_ns, random);
	case PFK__SLOT_SERVING:
		return in_serving(s, event, now_ns, random);
	case PFK__SLOT_REPLACING:
		return in_replacing(s, event, now_ns, random);
	case PFK__SLOT_BACKOFF:
		return in_backoff(s, event, now_ns);
	}
	return 0;
}

bool
pfk__slot_due(const struct pfk__slot *s, uint64_t *at_ns)
{
	*at_ns = s->retry_ns;
	return s->state == PFK__SLOT_BACKOFF ||
	    (s->state == PFK__SLOT_SERVING && s->renew);
}
