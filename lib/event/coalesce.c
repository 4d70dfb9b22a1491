/*
 * coalesce.c: whether a loop does more when it rests a moment before it waits.
 *
 * Layer: event.  Pure: it makes no system call.
 */
#include "event/coalesce.h"

#include <prefork.h>
#include <string.h>

#define WINDOW_NS (2 * PFK_MSEC_NS)
/*
 * Turns a window when the loop turns often; then still, without a rest and with
 * one.  What came in batches goes on to do so for a while.
 */
#define OFTEN 32
#define STILL_OFTEN 8
#define OFTEN_RESTING 2
#define BUSY_WINDOWS 8   /* before a trial */
#define TRIAL_WINDOWS 16 /* half of them with a rest */
#define LOOK_WINDOWS 8   /* at a time, while it rests */
/* Work with a rest by that without it: it pays, or it is tried no longer. */
#define PAYS 1.02
#define HURTS 0.7
/* So much more or less work than in the trial: something has changed. */
#define CHANGE 1.3
#define PATIENCE_NS (PFK_SECOND_NS / 2)
#define PAID_PATIENCE_MAX_NS (2 * PFK_SECOND_NS)
#define PATIENCE_MAX_NS (64 * PFK_SECOND_NS)

static void
go_to(struct pfk__coalesce *c, enum pfk__coalesce_state state)
{
	c->state = state;
	c->windows = 0;
	c->work[0] = c->ns[0] = 0;
	/* What the trial found is what is compared with while it rests. */
	if (state == PFK__TRYING)
		c->work[1] = c->ns[1] = 0;
}

static void
settle(struct pfk__coalesce *c, uint64_t now, bool pays)
{
	uint64_t max = pays ? PAID_PATIENCE_MAX_NS : PATIENCE_MAX_NS;

	if (c->patience_ns == 0 || c->paid != pays)
		c->patience_ns = PATIENCE_NS;
	else if (c->patience_ns < max)
		c->patience_ns *= 2;
	c->paid = pays;
	c->due_ns = now + c->patience_ns;
	go_to(c, pays ? PFK__RESTING : PFK__WATCHING);
}

/* The work of the one by that of the other, in the same time. */
static double
ratio(const struct pfk__coalesce *c, int of, int by)
{
	return (double)c->work[of] * (double)c->ns[by] /
	    ((double)c->work[by] * (double)c->ns[of] + 1);
}

static void
try(struct pfk__coalesce *c, uint64_t now)
{
	double gain = ratio(c, 1, 0);

	if (c->windows % 2 != 0)
		return;
	if (c->windows == TRIAL_WINDOWS || gain < HURTS)
		settle(c, now, gain >= PAYS);
}

/* Doubt is no reason to rest: it starts anew, without. */
static void
look(struct pfk__coalesce *c, uint64_t now)
{
	double change = ratio(c, 0, 1);

	if (now < c->due_ns && c->windows < LOOK_WINDOWS)
		return;
	if (change > CHANGE || change < 1 / CHANGE)
		c->due_ns = now;
	go_to(c, now < c->due_ns ? PFK__RESTING : PFK__WATCHING);
}

static uint64_t
often(const struct pfk__coalesce *c)
{
	if (c->rest)
		return OFTEN_RESTING;
	return c->state == PFK__WATCHING ? OFTEN : STILL_OFTEN;
}

static void
end_window(struct pfk__coalesce *c, uint64_t ns, uint64_t work, uint64_t now)
{
	int trial = c->state == PFK__TRYING && c->rest;

	c->windows++;
	c->work[trial] += work;
	c->ns[trial] += ns;
	if (c->turns * WINDOW_NS < often(c) * ns)
		go_to(c, PFK__WATCHING);
	else if (c->state == PFK__TRYING)
		try(c, now);
	else if (c->state == PFK__RESTING)
		look(c, now);
	else if (c->windows >= BUSY_WINDOWS && now >= c->due_ns)
		go_to(c, PFK__TRYING);
	c->rest = c->state == PFK__RESTING ||
	    (c->state == PFK__TRYING && c->windows % 2 != 0);
}

bool
pfk__coalesce_turn(struct pfk__coalesce *c, uint64_t now, uint64_t work)
{
	c->turns++;
	if (now - c->begin_ns >= WINDOW_NS) {
		end_window(c, now - c->begin_ns, work - c->begin_work, now);
		c->begin_ns = now;
		c->begin_work = work;
		c->turns = 0;
	}
	return c->rest;
}
