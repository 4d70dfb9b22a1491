/*
 * stall.c: a queue that moves, stands, and moves again.
 */
#include <prefork.h>

#include "process/stall.h"
#include "tap.h"

#define MS(n) ((uint64_t)(n)*PFK_MSEC_NS)
#define START MS(1000)
#define PATIENCE (PFK__PATIENCE_NS / PFK_MSEC_NS)

/* All in milliseconds from START on; 0 stays 0. */
static int
look(struct pfk__stall *s, bool waiting, uint64_t beat, uint64_t now)
{
	uint64_t next = pfk__stall_look(s, waiting, START + MS(beat),
	    START + MS(now));

	return next == 0 ? 0 : (int)((next - START) / PFK_MSEC_NS);
}

static void
queued(struct pfk__stall *s, uint64_t beat, uint64_t now)
{
	pfk__stall_queued(s, START + MS(beat), START + MS(now));
}

static void
test_moves(void)
{
	struct pfk__stall s = {0};

	is_int(look(&s, true, 0, 1), 0, "nothing was said to be queued");
	queued(&s, 0, 100);
	is_int(look(&s, false, 100, 140), 0, "served meanwhile");
	queued(&s, 150, 150);
	is_int(look(&s, true, 185, 190), 225, "the loop turns: no stall yet");
	is_int(look(&s, true, 224, 225), 264, "it still does");
	is_int(look(&s, false, 250, 264), 0, "now all is served");
	ok(!s.stalled, "never stalled");
}

static void
test_stands(void)
{
	struct pfk__stall s = {0};

	/* Idle for long, so the last turn tells nothing. */
	queued(&s, 0, 500);
	is_int(look(&s, true, 0, 530), 540, "looked at too early");
	ok(!s.stalled, "not yet");
	look(&s, true, 0, 540);
	ok(s.stalled, "an idle one that does not wake: stalled");

	/* A turn right after it was seen does not give it twice the time. */
	s = (struct pfk__stall){0};
	queued(&s, 0, 0);
	is_int(look(&s, true, 2, PATIENCE), PATIENCE + 10, "10 ms at least");
	look(&s, true, 2, PATIENCE + 10);
	ok(s.stalled, "stopped after a turn: stalled within %d ms of it",
	    (int)PATIENCE + 8);

	/* The master's clock may be read before the worker's. */
	s = (struct pfk__stall){0};
	queued(&s, 0, 0);
	is_int(look(&s, true, 50, 40), 80, "a turn after now");
}

/* The worker writes its beat, and may be broken. */
static void
test_lies(void)
{
	static const uint64_t lies[] = {UINT64_MAX, UINT64_C(1) << 62, 1, 0};
	uint64_t now = START + MS(PATIENCE);

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct pfk__stall s = {0};

		queued(&s, 0, 0);
		ok(pfk__stall_look(&s, true, lies[i], now) <=
			now + PFK__PATIENCE_NS,
		    "beat %zu: looked at again soon", i);
		pfk__stall_look(&s, true, lies[i], now + PFK__PATIENCE_NS);
		ok(s.stalled, "beat %zu: stalled, because it stands", i);
	}
}

static void
test_recovers(void)
{
	struct pfk__stall s = {0};

	queued(&s, 0, 0);
	look(&s, true, 0, 40);
	queued(&s, 0, 50);
	is_int(look(&s, true, 0, 100), 140, "while it stands: looked after");
	is_int(look(&s, true, 0, 9000), 9040, "for however long");
	is_int(look(&s, false, 8999, 9001), 0, "it turns again: well");
	ok(!s.stalled, "and no longer stalled");

	queued(&s, 10000, 10000);
	look(&s, true, 10000, 10040);
	ok(s.stalled, "stalled");
	is_int(look(&s, false, 10050, 10080), 10120, "it only twitches");
	ok(s.stalled, "not well yet");
	is_int(look(&s, false, 15039, 15040), 0, "after a while");
	ok(!s.stalled, "it is");
	queued(&s, 15050, 15050);
	ok(s.queued, "and is watched as before");
}

/* While it gets help, its loop may stop again; else it can give some. */
static void
test_relapses(void)
{
	struct pfk__stall s = {0};

	queued(&s, 0, 0);
	look(&s, true, 0, 40);
	ok(s.stalled && s.still, "it stands still");
	look(&s, true, 60, 80);
	ok(s.stalled && !s.still, "it turns again, and has still help");
	look(&s, false, 60, 120);
	look(&s, false, 60, 400);
	ok(!s.still, "with nothing to serve it need not turn");
	look(&s, true, 60, 420);
	ok(!s.still, "it has its time to turn");
	look(&s, true, 60, 440);
	ok(s.still, "it does not: it stands still again");
	is_int(look(&s, false, 5000, 5041), 5081, "it turns");
	ok(s.stalled && !s.still, "and has help for as long as the first time");
	is_int(look(&s, false, 5439, 5440), 0, "then it is healthy");
}

int
main(void)
{
	test_moves();
	test_stands();
	test_lies();
	test_recovers();
	test_relapses();
	return done_testing();
}
