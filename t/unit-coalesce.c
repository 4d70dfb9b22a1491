/*
 * coalesce.c: a loop that turns, in simulated time, and the effect of a rest on
 * its work.
 */
#include <prefork.h>

#include "event/coalesce.h"
#include "tap.h"

#define MS PFK_MSEC_NS

/*
 * The time and work of a turn, [0] without a rest before it and [1] with one.
 */
struct load {
	uint64_t turn_ns[2];
	uint64_t work[2];
};

static const struct load idle = {{4 * MS, 4 * MS}, {100, 100}};
static const struct load little = {{MS, MS}, {100, 100}};
static const struct load seldom = {{200000, 300000}, {100, 1000}};
static const struct load gains = {{25000, 100000}, {100, 500}};
static const struct load gains_1 = {{25000, 100000}, {100, 404}};
static const struct load loses = {{25000, 75000}, {100, 200}};
static const struct load busier = {{25000, 75000}, {1000, 2000}};
/* As much as gains does with a rest, in few turns. */
static const struct load sparse = {{4 * MS, 4 * MS}, {20000, 20000}};
static const struct load same = {{25000, 100000}, {100, 400}};
/* At random, 100 on the average. */
static const struct load arrivals = {{25000, 100000}, {100, 400}};

static struct pfk__coalesce c;
static uint64_t now = 1000 * MS, work;
static uint64_t rested_ns, longest_ns, in_a_row_ns;
static uint32_t seed = 1;

static void
begin(void)
{
	c = (struct pfk__coalesce){0};
	rested_ns = longest_ns = in_a_row_ns = 0;
}

/* 0 or 200 for each 100. */
static uint64_t
random_work(uint64_t mean)
{
	uint64_t sum = 0;

	for (; mean > 0; mean -= 100) {
		seed = seed * 1664525 + 1013904223;
		sum += seed >> 31 != 0 ? 200 : 0;
	}
	return sum;
}

static void
spend(bool rest, uint64_t ns, uint64_t done)
{
	now += ns;
	work += done;
	rested_ns += rest ? ns : 0;
	in_a_row_ns = rest ? in_a_row_ns + ns : 0;
	if (in_a_row_ns > longest_ns)
		longest_ns = in_a_row_ns;
}

/* How much of the time there was a rest in each turn, in parts of 1,000. */
static int
turns(const struct load *l, uint64_t ms)
{
	uint64_t start = now;

	rested_ns = longest_ns = in_a_row_ns = 0;
	while (now - start < ms * MS) {
		bool rest = pfk__coalesce_turn(&c, now, work);
		uint64_t done = l->work[rest];

		spend(rest, l->turn_ns[rest],
		    l == &arrivals ? random_work(done) : done);
	}
	return (int)(rested_ns * 1000 / (now - start));
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
	is_int(turns(&seldom, 10000), 0,
	    "nor for a gain where it turns seldom");
}

static void
test_gains(void)
{
	begin();
	is_int(turns(&gains, 14), 0, "busy for a moment: no rest yet");
	turns(&gains, 80);
	is_int(turns(&gains, 200), 1000, "80 ms later it has been tried");
	turns(&gains, 10000);
	ok(turns(&gains, 60000) > 960, "it pays: kept, and tried anew");
	ok(longest_ns < 2100 * MS, "after two seconds at most");

	turns(&idle, 5);
	is_int(turns(&idle, 60000), 0, "nothing to do: no rest any more");
	turns(&gains, 100);
	is_int(turns(&gains, 200), 1000, "more again: it is tried at once");
	turns(&little, 5000);
	is_int(turns(&little, 60000), 0, "less to do: none after a trial");
}

static void
test_loses(void)
{
	begin();
	turns(&loses, 100);
	ok(rested_ns < 3 * MS, "it hurts: noticed after one window");
	turns(&loses, 100000);
	ok(rested_ns < 30 * MS, "and seldom tried again: %d ms in 100 s",
	    (int)(rested_ns / MS));
	ok(longest_ns < 3 * MS, "never for long");
	turns(&gains, 17000);
	ok(turns(&gains, 5000) > 900, "once it would pay, it is found");
}

static void
test_same(void)
{
	const struct load *loads[] = {&same, &gains_1, &arrivals};

	for (int i = 0; i < 3; i++) {
		begin();
		turns(loads[i], 100);
		ok(rested_ns < 40 * MS, "no gain, load %d: not kept", i);
		ok(turns(loads[i], 120000) < 10,
		    "nor in two minutes of trials: %d ms",
		    (int)(rested_ns / MS));
	}
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

/* One trial weighs little, many weigh more. */
static void
test_trust(void)
{
	begin();
	turns(&gains, 10000);
	turns(&sparse, 10);
	is_int(turns(&sparse, 100), 0, "as much in few turns: no rest");

	turns(&gains, 10000);
	turns(&loses, 200);
	turns(&gains, 1800);
	ok(longest_ns > 400 * MS && longest_ns < 600 * MS,
	    "after a failure the first rest is short: %d ms",
	    (int)(longest_ns / MS));

	turns(&loses, 100000);
	turns(&gains, 60000);
	turns(&loses, 200);
	ok(turns(&gains, 3000) > 0, "many gains make up for many failures");
}

/* Events go on to come in batches, and the loop turns seldom. */
static void
test_broken_off(void)
{
	uint64_t end = now + 60 * PFK_SECOND_NS;
	int batches = 0;

	begin();
	while (now < end) {
		bool rest = pfk__coalesce_turn(&c, now, work);

		batches = rest ? 8 : batches - (batches > 0);
		if (rest || batches > 0)
			spend(rest, 1500000, 1350);
		else
			spend(rest, 40000, 100);
	}
	ok(rested_ns < 100 * MS, "a trial that is broken off: seldom again");
}

/* The same, but not so seldom, and a rest pays. */
static void
test_batches(void)
{
	uint64_t end = now + 10 * PFK_SECOND_NS;
	int batches = 0;

	begin();
	while (now < end) {
		bool rest = pfk__coalesce_turn(&c, now, work);

		batches = rest ? 8 : batches - (batches > 0);
		if (rest)
			spend(true, 100000, 500);
		else if (batches > 0)
			spend(false, 200000, 600);
		else
			spend(false, 25000, 100);
	}
	ok(rested_ns > 8 * PFK_SECOND_NS, "batches that linger: kept");
}

/* It does more the longer it rests. */
static void
test_better(void)
{
	uint64_t start = now;

	begin();
	while (now - start < 60 * PFK_SECOND_NS) {
		bool rest = pfk__coalesce_turn(&c, now, work);

		spend(rest, rest ? 100000 : 25000,
		    !rest                      ? 100
			: in_a_row_ns > 4 * MS ? 700
					       : 440);
	}
	ok(rested_ns > (now - start) / 10 * 9, "all the better: no doubt");
}

int
main(void)
{
	test_idle();
	test_gains();
	test_loses();
	test_same();
	test_changes();
	test_trust();
	test_broken_off();
	test_batches();
	test_better();
	return done_testing();
}
