/*
 * slot.c: every state with every event, and the back-off.
 */
#include <prefork.h>
#include <stdio.h>

#include "process/slot.h"
#include "tap.h"

#define NOW (1000 * PFK_SECOND_NS)
#define LATER 60 /* seconds from now */
#define HALF (UINT32_MAX / 2)

#define EMPTY PFK__SLOT_EMPTY
#define STARTING PFK__SLOT_STARTING
#define SERVING PFK__SLOT_SERVING
#define REPLACING PFK__SLOT_REPLACING
#define BACKOFF PFK__SLOT_BACKOFF
#define SPAWN PFK__DO_SPAWN
#define RETIRE PFK__DO_RETIRE
#define KILL PFK__DO_KILL_BOOTING
#define PROMOTE PFK__DO_PROMOTE

static const char *const state_names[] = {"EMPTY", "STARTING", "SERVING",
    "REPLACING", "BACKOFF"};
static const char *const event_names[] = {"WANT", "FOUND", "UNWANT", "RENEW",
    "KEEP", "READY", "DIED_BOOTING", "DIED_SERVING", "LEFT", "TICK"};

#define STATES (sizeof(state_names) / sizeof(state_names[0]))
#define EVENTS (sizeof(event_names) / sizeof(event_names[0]))
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const struct edge {
	enum pfk__slot_state from;
	unsigned renew;
	unsigned failures;
	unsigned retry_s; /* from now */
	enum pfk__slot_event event;
	enum pfk__slot_state to;
	unsigned todo;
	unsigned renew_after;
} edges[] = {
    {EMPTY, 0, 0, 0, PFK__SLOT_WANT, STARTING, SPAWN, 0},
    {EMPTY, 0, 0, 0, PFK__SLOT_FOUND, STARTING, 0, 0},
    {EMPTY, 0, 0, 0, PFK__SLOT_UNWANT, EMPTY, 0, 0},
    {EMPTY, 0, 0, 0, PFK__SLOT_RENEW, EMPTY, 0, 0},
    {EMPTY, 0, 0, 0, PFK__SLOT_KEEP, EMPTY, 0, 0},
    {EMPTY, 0, 0, 0, PFK__SLOT_READY, EMPTY, 0, 0},
    {EMPTY, 0, 0, 0, PFK__SLOT_DIED_BOOTING, EMPTY, 0, 0},
    {EMPTY, 0, 0, 0, PFK__SLOT_DIED_SERVING, EMPTY, 0, 0},
    {EMPTY, 0, 0, 0, PFK__SLOT_LEFT, EMPTY, 0, 0},
    {EMPTY, 0, 0, 0, PFK__SLOT_TICK, EMPTY, 0, 0},

    {STARTING, 0, 0, 0, PFK__SLOT_WANT, STARTING, 0, 0},
    {STARTING, 0, 0, 0, PFK__SLOT_FOUND, STARTING, 0, 0},
    {STARTING, 0, 0, 0, PFK__SLOT_UNWANT, EMPTY, KILL, 0},
    {STARTING, 1, 0, 0, PFK__SLOT_UNWANT, EMPTY, KILL, 0},
    {STARTING, 0, 0, 0, PFK__SLOT_RENEW, STARTING, 0, 1},
    {STARTING, 1, 0, 0, PFK__SLOT_KEEP, STARTING, 0, 0},
    {STARTING, 0, 0, 0, PFK__SLOT_READY, SERVING, PROMOTE, 0},
    /* It booted with the old configuration: renew it as soon as it serves. */
    {STARTING, 1, 0, 0, PFK__SLOT_READY, REPLACING, PROMOTE | SPAWN, 0},
    {STARTING, 0, 0, 0, PFK__SLOT_DIED_BOOTING, STARTING, SPAWN, 0},
    {STARTING, 1, 0, 0, PFK__SLOT_DIED_BOOTING, STARTING, SPAWN, 0},
    {STARTING, 1, 2, 0, PFK__SLOT_DIED_BOOTING, BACKOFF, 0, 0},
    {STARTING, 0, 0, 0, PFK__SLOT_DIED_SERVING, STARTING, 0, 0},
    {STARTING, 0, 0, 0, PFK__SLOT_LEFT, STARTING, 0, 0},
    {STARTING, 0, 0, 0, PFK__SLOT_TICK, STARTING, 0, 0},

    {SERVING, 0, 0, 0, PFK__SLOT_WANT, SERVING, 0, 0},
    {SERVING, 0, 0, 0, PFK__SLOT_FOUND, SERVING, 0, 0},
    {SERVING, 0, 0, 0, PFK__SLOT_UNWANT, EMPTY, RETIRE, 0},
    {SERVING, 1, 1, LATER, PFK__SLOT_UNWANT, EMPTY, RETIRE, 0},
    {SERVING, 0, 0, 0, PFK__SLOT_RENEW, REPLACING, SPAWN, 0},
    {SERVING, 1, 1, LATER, PFK__SLOT_RENEW, REPLACING, SPAWN, 0},
    {SERVING, 1, 1, LATER, PFK__SLOT_KEEP, SERVING, 0, 0},
    {SERVING, 0, 0, 0, PFK__SLOT_READY, SERVING, 0, 0},
    {SERVING, 0, 0, 0, PFK__SLOT_DIED_BOOTING, SERVING, 0, 0},
    {SERVING, 0, 0, 0, PFK__SLOT_DIED_SERVING, STARTING, SPAWN, 0},
    {SERVING, 0, 2, 0, PFK__SLOT_DIED_SERVING, BACKOFF, 0, 0},
    {SERVING, 0, 0, 0, PFK__SLOT_LEFT, REPLACING, SPAWN, 0},
    {SERVING, 0, 2, 0, PFK__SLOT_LEFT, SERVING, 0, 1},
    {SERVING, 0, 0, 0, PFK__SLOT_TICK, SERVING, 0, 0},
    {SERVING, 1, 1, LATER, PFK__SLOT_TICK, SERVING, 0, 1},
    {SERVING, 1, 1, 0, PFK__SLOT_TICK, REPLACING, SPAWN, 0},

    {REPLACING, 0, 0, 0, PFK__SLOT_WANT, REPLACING, 0, 0},
    {REPLACING, 0, 0, 0, PFK__SLOT_FOUND, REPLACING, 0, 0},
    {REPLACING, 0, 0, 0, PFK__SLOT_UNWANT, EMPTY, RETIRE | KILL, 0},
    {REPLACING, 1, 0, 0, PFK__SLOT_UNWANT, EMPTY, RETIRE | KILL, 0},
    {REPLACING, 0, 0, 0, PFK__SLOT_RENEW, REPLACING, 0, 1},
    {REPLACING, 1, 0, 0, PFK__SLOT_KEEP, REPLACING, 0, 0},
    {REPLACING, 0, 0, 0, PFK__SLOT_READY, SERVING, PROMOTE | RETIRE, 0},
    {REPLACING, 1, 0, 0, PFK__SLOT_READY, REPLACING, PROMOTE | RETIRE | SPAWN,
	0},
    {REPLACING, 0, 0, 0, PFK__SLOT_DIED_BOOTING, SERVING, 0, 1},
    {REPLACING, 0, 0, 0, PFK__SLOT_DIED_SERVING, STARTING, 0, 0},
    /* The booting process is out of date already, which is not forgotten. */
    {REPLACING, 1, 0, 0, PFK__SLOT_DIED_SERVING, STARTING, 0, 1},
    {REPLACING, 0, 0, 0, PFK__SLOT_LEFT, REPLACING, 0, 0},
    {REPLACING, 1, 0, 0, PFK__SLOT_LEFT, REPLACING, 0, 1},
    {REPLACING, 0, 0, 0, PFK__SLOT_TICK, REPLACING, 0, 0},

    {BACKOFF, 0, 3, LATER, PFK__SLOT_WANT, BACKOFF, 0, 0},
    {BACKOFF, 0, 3, LATER, PFK__SLOT_FOUND, BACKOFF, 0, 0},
    {BACKOFF, 0, 3, LATER, PFK__SLOT_UNWANT, EMPTY, 0, 0},
    {BACKOFF, 0, 3, LATER, PFK__SLOT_RENEW, STARTING, SPAWN, 0},
    {BACKOFF, 0, 3, LATER, PFK__SLOT_KEEP, BACKOFF, 0, 0},
    {BACKOFF, 0, 3, LATER, PFK__SLOT_READY, BACKOFF, 0, 0},
    {BACKOFF, 0, 3, LATER, PFK__SLOT_DIED_BOOTING, BACKOFF, 0, 0},
    {BACKOFF, 0, 3, LATER, PFK__SLOT_DIED_SERVING, BACKOFF, 0, 0},
    {BACKOFF, 0, 3, LATER, PFK__SLOT_LEFT, BACKOFF, 0, 0},
    {BACKOFF, 0, 3, LATER, PFK__SLOT_TICK, BACKOFF, 0, 0},
    {BACKOFF, 0, 3, 0, PFK__SLOT_TICK, STARTING, SPAWN, 0},
};

static void
test_edges(void)
{
	bool seen[STATES][EVENTS] = {{false}};
	int missing = 0;

	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
		const struct edge *e = &edges[i];
		struct pfk__slot s = {.state = e->from,
		    .renew = e->renew != 0,
		    .failures = e->failures,
		    .ready_ns = NOW,
		    .retry_ns = NOW + e->retry_s * PFK_SECOND_NS};
		unsigned todo = pfk__slot_step(&s, e->event, NOW, HALF);
		char name[80];

		seen[e->from][e->event] = true;
		snprintf(name, sizeof(name), "%s%s, %u failures: %s",
		    state_names[e->from], e->renew ? " to renew" : "",
		    e->failures, event_names[e->event]);
		is_str(state_names[s.state], state_names[e->to], "%s", name);
		is_int(todo, e->todo, "%s: the actions", name);
		is_int(s.renew, e->renew_after, "%s: renew", name);
	}
	for (size_t i = 0; i < STATES * EVENTS; i++)
		missing += !seen[i / EVENTS][i % EVENTS];
	is_int(missing, 0, "no state with an event was left out");
}

/* A wrong state ends the master, so that no event may lead to one. */
static void
test_states(void)
{
	static const unsigned failures[] = {0, 2, 3};

	for (size_t i = 0; i < STATES * EVENTS * LENGTH(failures) * 4; i++) {
		struct pfk__slot s = {.state = i / 4 % STATES,
		    .renew = i % 2 != 0,
		    .left = i / 2 % 2 != 0,
		    .failures = failures[i / 4 / STATES / EVENTS],
		    .ready_ns = NOW,
		    .retry_ns = NOW};
		bool idle = s.state == EMPTY || s.state == BACKOFF;

		if ((idle && s.renew) || (s.state == BACKOFF && s.failures < 3))
			continue;
		pfk__slot_step(&s, i / 4 / STATES % EVENTS, NOW, HALF);
		pfk__slot_check(&s);
	}
	ok(true, "each event leads to a state that makes sense");
}

/* The wait before restart number n of a worker that dies in its boot. */
static uint64_t
wait_after(unsigned deaths, uint32_t random)
{
	struct pfk__slot s = {.state = PFK__SLOT_EMPTY};
	uint64_t now = NOW, at = 0, wait = 0;

	pfk__slot_step(&s, PFK__SLOT_WANT, now, random);
	while (deaths-- > 0) {
		pfk__slot_step(&s, PFK__SLOT_DIED_BOOTING, now, random);
		wait = pfk__slot_due(&s, &at) ? at - now : 0;
		now += wait;
		if (wait > 0)
			pfk__slot_step(&s, PFK__SLOT_TICK, now, random);
	}
	return wait;
}

static void
test_backoff(void)
{
	uint64_t mean[20], low, high;
	int grown = 0, capped = 0, outside = 0;

	is_int(wait_after(1, HALF), 0, "the first death: at once");
	is_int(wait_after(2, HALF), 0, "the second: at once");
	for (unsigned n = 3; n < 20; n++) {
		mean[n] = wait_after(n, HALF);
		low = wait_after(n, 0);
		high = wait_after(n, UINT32_MAX);
		grown += n > 3 && mean[n] > mean[n - 1];
		capped += mean[n] <= 10 * PFK_SECOND_NS;
		/* Halves are rounded down: a microsecond does not matter. */
		outside += low + 1000 < mean[n] / 4 * 3 ||
		    low > mean[n] / 4 * 3 + 1000 ||
		    high + 1000 < mean[n] / 4 * 5 ||
		    high > mean[n] / 4 * 5 + 1000;
	}
	ok(mean[3] > 49 * PFK_MSEC_NS && mean[3] <= 50 * PFK_MSEC_NS,
	    "the third: 50 ms, got %llu ns", (unsigned long long)mean[3]);
	ok(mean[4] / 1000 == 2 * mean[3] / 1000, "then twice as long");
	is_int(grown, 8, "it grows, 50 ms to 10 s");
	is_int(capped, 17, "it is never over 10 s");
	ok(mean[19] > 9 * PFK_SECOND_NS, "and stays there");
	is_int(outside, 0, "jitter is a quarter either way");
	ok(wait_after(UINT16_MAX, UINT32_MAX) <= 12500 * PFK_MSEC_NS,
	    "and after very many deaths still");
}

/* Failures left after a service of so long, the death itself counted. */
static unsigned
failures_after(unsigned before, uint64_t service_ns)
{
	struct pfk__slot s = {.state = SERVING,
	    .failures = before,
	    .ready_ns = NOW};

	pfk__slot_step(&s, PFK__SLOT_DIED_SERVING, NOW + service_ns, HALF);
	return s.failures;
}

static void
test_forgiveness(void)
{
	struct pfk__slot s = {.state = REPLACING, .failures = 5};

	is_int(failures_after(8, 0), 9, "no service: nothing is forgiven");
	is_int(failures_after(8, 300 * PFK_MSEC_NS), 5, "300 ms: half is");
	is_int(failures_after(8, PFK_SECOND_NS), 2, "1 s: an eighth is left");
	is_int(failures_after(UINT32_MAX - 1, 3600 * PFK_SECOND_NS), 1,
	    "an hour: all is");
	pfk__slot_step(&s, PFK__SLOT_READY, NOW, HALF);
	is_int(s.failures, 0, "a successor that is ready forgives all");
}

static void
test_renewal(void)
{
	struct pfk__slot s = {.state = SERVING, .ready_ns = NOW};
	uint64_t at = 0, first;

	ok(!pfk__slot_due(&s, &at), "a serving slot waits for nothing");
	pfk__slot_step(&s, PFK__SLOT_RENEW, NOW, HALF);
	ok(!pfk__slot_due(&s, &at), "nor does a replacement");
	pfk__slot_step(&s, PFK__SLOT_DIED_BOOTING, NOW, HALF);
	ok(pfk__slot_due(&s, &at), "a failed replacement is tried again");
	ok(at > NOW, "but not at once");
	first = at;
	is_int(pfk__slot_step(&s, PFK__SLOT_TICK, at - 1, HALF), 0,
	    "not before its time");
	is_int(pfk__slot_step(&s, PFK__SLOT_TICK, at, HALF), SPAWN, "then");
	pfk__slot_step(&s, PFK__SLOT_DIED_BOOTING, at, HALF);
	pfk__slot_due(&s, &at);
	ok(at - first > first - NOW, "and then later still");
}

int
main(void)
{
	test_edges();
	test_states();
	test_backoff();
	test_forgiveness();
	test_renewal();
	return done_testing();
}
