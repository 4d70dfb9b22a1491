/*
 * coalesce.c: a loop that turns, in simulated time, and what a rest does to its
 * work.
 */
#include <prefork.h>

#include "event/coalesce.h"
#include "tap.h"

#define MS PFK_MSEC_NS

/* What a turn takes and does, [0] without a rest before it and [1] with one. */
struct load {
	uint64_t turn_ns[2];
	uint64_t work[2];
};

static const struct load idle = {{4 * MS, 4 * MS}, {100, 100}};
static const struct load little = {{MS, MS}, {100, 100}};
static const struct load gains = {{25000, 100000}, {100, 500}};
static const struct load loses = {{25000, 75000}, {100, 200}};
static const struct load busier = {{25000, 75000}, {1000, 2000}};
static const struct load same = {{25000, 100000}, {100, 400}};
static struct pfk__coalesce c;
static uint64_t now = 1000 * MS, work;
static uint64_t rested_ns, longest_ns;

/* How much of the time there was a rest in each turn, in parts of 1,000. */
static int
turns(const struct load *l, uint64_t ms)
{
	uint64_t begin = now, in_a_row = 0;

	rested_ns = longest_ns = 0;
	while (now - begin < ms * MS) {
		bool rest = pfk__coalesce_turn(&c, now, work);

		now += l->turn_ns[rest];
		work += l->work[rest];
		in_a_row = rest ? in_a_row + l->turn_ns[1] : 0;
		rested_ns += rest ? l->turn_ns[1] : 0;
		if (in_a_row > longest_ns)
			longest_ns = in_a_row;
	}
	return (int)(rested_ns * 1000 / (now - begin));
}

static void
begin(void)
{
	c = (struct pfk__coalesce){0};
}

static void
test_idle(void)
{
	begin();
	is_int(turns(&idle, 100000), 0, "with little to do it never rests");
	now += 3600 * PFK_SECOND_NS;
	is_int(turns(&idle, 100), 0, "nor after an hour of nothing");
	turns(&gains, 10);
	is_int(turns(&idle, 1000), 0, "nor after a short burst");
}

static void
test_gains(void)
{
	begin();
	is_int(turns(&gains, 14), 0, "busy for a moment: no rest yet");
	turns(&gains, 50);
	is_int(turns(&gains, 400), 1000, "50 ms later it has been tried");
	ok(turns(&gains, 60000) > 975, "it pays: kept, and tried anew");
	ok(turns(&gains, 60000) < 1000, "again and again");

	turns(&idle, 5);
	is_int(turns(&idle, 60000), 0, "nothing to do: no rest any more");
	turns(&gains, 100);
	is_int(turns(&gains, 300), 1000, "more again: it is tried at once");
	turns(&little, 5000);
	is_int(turns(&little, 60000), 0, "less to do: none after a trial");
}

static void
test_loses(void)
{
	begin();
	turns(&loses, 100);
	ok(rested_ns < 3 * MS, "it hurts: noticed after one window");
	turns(&loses, 60000);
	ok(rested_ns < 20 * MS, "and seldom tried again: %d ms in a minute",
	    (int)(rested_ns / MS));
	ok(longest_ns < 3 * MS, "never for long");
	turns(&gains, 130000);
	is_int(turns(&gains, 300), 1000, "once it would pay, it is found");
}

static void
test_same(void)
{
	begin();
	turns(&same, 100);
	ok(rested_ns < 20 * MS, "no gain: not kept");
	turns(&same, 60000);
	ok(longest_ns < 3 * MS, "nor in a minute of trials");
}

static void
test_changes(void)
{
	begin();
	turns(&gains, 10000);
	turns(&loses, 100);
	is_int(turns(&loses, 100), 0, "it hurts now: noticed in 100 ms");
	begin();
	turns(&gains, 10000);
	turns(&busier, 100);
	is_int(turns(&busier, 100), 0, "so it is where there is more to do");
}

int
main(void)
{
	test_idle();
	test_gains();
	test_loses();
	test_same();
	test_changes();
	return done_testing();
}
