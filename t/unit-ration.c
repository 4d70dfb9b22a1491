/*
 * ration.c: requests that cost CPU time, and how long the next one waits.
 */
#include <prefork.h>

#include "process/ration.h"
#include "tap.h"

#define MS(n) ((uint64_t)(n)*PFK_MSEC_NS)
#define BURST (PFK__RATION_BURST_NS / PFK_MSEC_NS)
#define PART PFK__RATION_PART
#define REST (PFK__RATION_REST_NS / PFK_MSEC_NS)

/* All in milliseconds. */
static int
wait_at(struct pfk__ration *r, uint64_t now)
{
	return (int)(pfk__ration_wait_ns(r, MS(now)) / PFK_MSEC_NS);
}

static void
test_burst(void)
{
	struct pfk__ration r = {0};

	is_int(wait_at(&r, 1000), 0, "nothing spent");
	pfk__ration_charge(&r, MS(1000), MS(BURST));
	is_int(wait_at(&r, 1000), 0, "a burst is free");
	pfk__ration_charge(&r, MS(1000), MS(3));
	is_int(wait_at(&r, 1000), 3 * PART + REST,
	    "beyond it the next one waits");
	is_int(wait_at(&r, 1000 + PART), 2 * PART + REST,
	    "and less a while later");
	is_int(wait_at(&r, 1000 + 3 * PART), 0, "and then no more");
	pfk__ration_charge(&r, MS(1000 + 3 * PART), MS(1));
	is_int(wait_at(&r, 1000 + 3 * PART), PART + REST,
	    "the burst is used up");
}

static void
test_rest(void)
{
	struct pfk__ration r = {0};

	pfk__ration_charge(&r, MS(1000), MS(10 * BURST));
	is_int(wait_at(&r, 1000 + 10 * BURST * PART), 0, "a long rest");
	pfk__ration_charge(&r, MS(1000 + 10 * BURST * PART), MS(BURST));
	is_int(wait_at(&r, 1000 + 10 * BURST * PART), 0, "and a whole burst");
	pfk__ration_charge(&r, MS(1000 + 10 * BURST * PART), MS(1));
	is_int(wait_at(&r, 1000 + 10 * BURST * PART), PART + REST,
	    "but not more");
	is_int(wait_at(&r, 500), PART + REST,
	    "the clock does not run backwards");
}

/* Requests of 1 ms, each as soon as it may. */
static void
test_share(void)
{
	struct pfk__ration r = {0};
	uint64_t now = MS(1000), spent = 0;

	while (now < MS(11000)) {
		pfk__ration_charge(&r, now, MS(1));
		now += MS(1) + pfk__ration_wait_ns(&r, now);
		spent++;
	}
	ok(spent <= BURST + 10000 / PART + 1, "a tenth of the time: %llu ms",
	    (unsigned long long)spent);
	ok(spent >= 10000 / PART - 1, "and not less");
}

static void
test_clock(void)
{
	struct pfk__ration r = {0};
	volatile unsigned x = 0;

	pfk__ration_begin(&r);
	while (x < 10000)
		x = x + 1;
	pfk__ration_end(&r, MS(1000));
	ok(r.spent_ns > 0, "work has its cost");
	is_int(wait_at(&r, 1000), 0, "a little one");
}

int
main(void)
{
	test_burst();
	test_rest();
	test_share();
	test_clock();
	return done_testing();
}
