/*
 * stall.c: does a slot's queue move?  A pure function.
 *
 * Layer: process.
 */
#include "process/stall.h"

#include <prefork.h>

/* Not more often, however many slots are busy. */
#define LOOK_NS (10 * PFK_MSEC_NS)

/* How long it has help at least: others need not hear of every twitch. */
#define CONVALESCENCE_NS (5 * PFK_SECOND_NS)

void
pfk__stall_queued(struct pfk__stall *s, uint64_t beat, uint64_t now_ns)
{
	if (s->stalled || s->queued)
		return;
	s->queued = true;
	s->since_ns = now_ns;
	s->beat = beat;
}

uint64_t
pfk__stall_look(struct pfk__stall *s, bool waiting, uint64_t beat,
    uint64_t now_ns)
{
	uint64_t due;

	if (s->stalled) {
		/* One that only twitches is not well yet. */
		if (beat == s->beat || now_ns < s->since_ns + CONVALESCENCE_NS)
			return now_ns + PFK__PATIENCE_NS;
		s->stalled = s->queued = false;
	}
	s->queued = s->queued && waiting;
	if (!s->queued)
		return 0;
	if (beat != s->beat) {
		/* The worker writes it: a turn in the future is one now. */
		s->beat = beat;
		if (beat > now_ns)
			beat = now_ns;
		if (beat > s->since_ns)
			s->since_ns = beat;
	}
	due = s->since_ns + PFK__PATIENCE_NS;
	if (now_ns < due)
		return due > now_ns + LOOK_NS ? due : now_ns + LOOK_NS;
	s->stalled = true;
	s->since_ns = now_ns;
	return now_ns + PFK__PATIENCE_NS;
}
