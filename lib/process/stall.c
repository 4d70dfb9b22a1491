/*
 * stall.c: does a slot's queue move?  A pure function.
 *
 * Layer: process.
 */
#include "process/stall.h"

#include <prefork.h>

/* Not more often, however many slots are busy. */
#define LOOK_NS (10 * PFK_MSEC_NS)

uint64_t pfk__convalescence_ns = 5 * PFK_SECOND_NS;

void
pfk__stall_queued(struct pfk__stall *s, uint64_t beat, uint64_t now_ns)
{
	if (s->stalled || s->queued)
		return;
	s->queued = true;
	s->since_ns = now_ns;
	s->beat = beat;
}

/* The worker writes its beat: a turn in the future is one now. */
static void
note_turn(struct pfk__stall *s, uint64_t beat, uint64_t now_ns)
{
	if (beat == s->beat)
		return;
	s->beat = beat;
	s->still = false;
	if (beat > now_ns)
		beat = now_ns;
	if (beat > s->since_ns)
		s->since_ns = beat;
}

uint64_t
pfk__stall_look(struct pfk__stall *s, bool waiting, uint64_t beat,
    uint64_t now_ns)
{
	uint64_t due;

	note_turn(s, beat, now_ns);
	/* With nothing to serve, a loop need not turn. */
	if (!waiting && !s->still)
		s->since_ns = now_ns;
	due = s->since_ns + PFK__PATIENCE_NS;
	if ((s->stalled || (s->queued && waiting)) && !s->still &&
	    now_ns >= due) {
		s->stalled = s->still = true;
		s->ill_ns = now_ns;
	}
	if (s->still ||
	    (s->stalled && now_ns < s->ill_ns + pfk__convalescence_ns))
		return now_ns + PFK__PATIENCE_NS;
	if (s->stalled)
		s->stalled = s->queued = false;
	s->queued = s->queued && waiting;
	if (!s->queued)
		return 0;
	return due > now_ns + LOOK_NS ? due : now_ns + LOOK_NS;
}
