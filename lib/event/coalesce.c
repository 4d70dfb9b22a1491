/*
 * coalesce.c: whether a loop does more when it rests a moment before it waits.
 *
 * Layer: event.  Pure: it makes no system call.
 */
#include "event/coalesce.h"

#include <prefork.h>

#define WINDOW_NS (2 * PFK_MSEC_NS)
/*
 * Turns in a window from which the loop counts as busy; and the lower bound
 * while it rests, or for a while after events came in batches.
 */
#define OFTEN 32
#define STILL_OFTEN 2
#define BUSY_WINDOWS 8 /* before a trial */
#define LOOK_WINDOWS 8 /* at a time, while it rests */
/*
 * A trial is of PAIRS pairs of windows, the second with a rest.  It pays when more
 * was done in the second one of WINS pairs, and in all: arrivals that are random make
 * one trial of thirty look so.  Where it hurts as much, nothing more is tried.
 */
#define PAIRS 16
#define WINS 12
#define PAYS 1.02
#define HURTS 0.7
/* So much more or less than at first: something has changed. */
#define CHANGE 1.5
#define PAID_MIN_NS (PFK_SECOND_NS / 2)
#define PAID_MAX_NS (2 * PFK_SECOND_NS)
#define PATIENCE_MIN_NS PFK_SECOND_NS
#define PATIENCE_MAX_NS (16 * PFK_SECOND_NS)

static void
go_to(struct pfk__coalesce *c, enum pfk__coalesce_state state)
{
	c->state = state;
	c->windows = c->wins = 0;
	c->sum[0] = c->sum[1] = (struct pfk__work){0};
}

static uint64_t
twice(uint64_t ns, uint64_t min, uint64_t max)
{
	ns *= 2;
	if (ns < min)
		return min;
	return ns < max ? ns : max;
}

/* Re-test soon after one trial, and later once several trials agree. */
static void
settle(struct pfk__coalesce *c, uint64_t now, bool pays)
{
	if (pays) {
		c->paid_ns = twice(c->paid_ns, PAID_MIN_NS, PAID_MAX_NS);
		c->patience_ns /= 2;
		c->due_ns = now + c->paid_ns;
		go_to(c, PFK__COALESCE_RESTING);
	} else {
		c->paid_ns = 0;
		c->patience_ns = twice(c->patience_ns, PATIENCE_MIN_NS,
		    PATIENCE_MAX_NS);
		c->due_ns = now + c->patience_ns;
		go_to(c, PFK__COALESCE_WATCHING);
	}
}

static void
add(struct pfk__work *sum, const struct pfk__work *w)
{
	sum->done += w->done;
	sum->ns += w->ns;
}

/* The work done in a divided by the work done in b in the same time. */
static double
ratio(const struct pfk__work *a, const struct pfk__work *b)
{
	return (double)a->done * (double)b->ns /
	    ((double)b->done * (double)a->ns + 1);
}

static void
try(struct pfk__coalesce *c, const struct pfk__work *w, uint64_t now)
{
	unsigned pairs = c->windows / 2;
	double gain;

	add(&c->sum[c->rest], w);
	if (!c->rest) {
		c->before = *w;
		return;
	}
	c->wins += ratio(w, &c->before) > 1;
	gain = ratio(&c->sum[1], &c->sum[0]);
	if (c->wins >= WINS && gain >= PAYS)
		settle(c, now, true);
	else if (pairs - c->wins > PAIRS - WINS || pairs == PAIRS ||
	    gain < HURTS)
		settle(c, now, false);
}

/*
 * While the loop rests: if the work in a window has changed much, or after some time,
 * stop resting and watch for the next trial.
 */
static void
look(struct pfk__coalesce *c, const struct pfk__work *w, uint64_t now)
{
	double change;

	add(&c->sum[1], w);
	if (c->windows == LOOK_WINDOWS) {
		if (c->sum[0].ns == 0)
			c->sum[0] = c->sum[1];
		change = ratio(&c->sum[1], &c->sum[0]);
		if (change > CHANGE || change < 1 / CHANGE)
			c->due_ns = now;
		c->sum[1] = (struct pfk__work){0};
		c->windows = 0;
	}
	if (now >= c->due_ns)
		go_to(c, PFK__COALESCE_WATCHING);
}

static void
end_window(struct pfk__coalesce *c, const struct pfk__work *w, uint64_t now)
{
	uint64_t often = c->state == PFK__COALESCE_WATCHING ? OFTEN
							    : STILL_OFTEN;
	bool seldom = c->turns * WINDOW_NS < often * w->ns;

	c->windows++;
	if (c->state == PFK__COALESCE_TRYING && seldom)
		settle(c, now, false);
	else if (c->state == PFK__COALESCE_TRYING)
		try(c, w, now);
	else if (seldom)
		go_to(c, PFK__COALESCE_WATCHING);
	else if (c->state == PFK__COALESCE_RESTING)
		look(c, w, now);
	else if (c->windows >= BUSY_WINDOWS && now >= c->due_ns)
		go_to(c, PFK__COALESCE_TRYING);
	c->rest = c->state == PFK__COALESCE_RESTING ||
	    (c->state == PFK__COALESCE_TRYING && c->windows % 2 != 0);
}

bool
pfk__coalesce_turn(struct pfk__coalesce *c, uint64_t now, uint64_t work)
{
	struct pfk__work w = {work - c->begin_work, now - c->begin_ns};

	c->turns++;
	if (w.ns >= WINDOW_NS) {
		end_window(c, &w, now);
		c->begin_ns = now;
		c->begin_work = work;
		c->turns = 0;
	}
	return c->rest;
}
