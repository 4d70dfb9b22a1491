/*
 * stats.c, metric.c, recorder.c: counters, histograms, metrics and events.
 */
#include "event/stats.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "event/loop.h"
#include "tap.h"

static struct pfk__stats stats, other;
static struct pfk__recorder recorder;

/* Each value lies below its bucket's end, and not below the one before. */
static void
buckets(void)
{
	int wrong = 0;

	for (int power = 0; power < 36; power++) {
		for (int i = 0; i < 16; i++) {
			uint64_t ns = (UINT64_C(1) << power) +
			    (uint64_t)i * ((UINT64_C(1) << power) / 16);
			unsigned k = pfk__bucket_of(ns);

			wrong += ns >= pfk__bucket_end(k) ||
			    (k > 0 && ns < pfk__bucket_end(k - 1));
		}
	}
	is_int(wrong, 0, "each value is in its bucket");
	is_int(pfk__bucket_of(UINT64_MAX), PFK__BUCKETS - 1, "and any has one");
	is_int(pfk__bucket_of(0), 0, "so has 0");
}

static void
quantiles(void)
{
	struct pfk__histogram *h = &stats.times[PFK__TIME_TURN];

	is_int(pfk__histogram_quantile(h, 0.5), 0, "of nothing");
	pfk__histogram_add(h, 1000, 98);
	pfk__histogram_add(h, 1000000, 2);
	is_int(pfk__histogram_count(h), 100, "count");
	is_int(h->sum_ns, 98 * 1000 + 2 * 1000000, "sum");
	is_int(pfk__histogram_below(h, 9), 0, "below 512 ns");
	is_int(pfk__histogram_below(h, 10), 98, "below 1,024 ns");
	is_int(pfk__histogram_below(h, 20), 100, "below 1,048,576 ns");
	is_int(pfk__histogram_quantile(h, 0.5), 1024, "the median's bucket");
	is_int(pfk__histogram_quantile(h, 0.98), 1024, "the 98th");
	is_int(pfk__histogram_quantile(h, 0.99), 1048576, "and the 99th");
}

static void
sums(void)
{
	is_int(PFK__COUNT_RESTARTS_LEFT, 29,
	    "the counters keep their numbers: a new one comes behind them");
	other.counts[PFK__COUNT_ACCEPTED] = 5;
	other.connections = 3;
	pfk__histogram_add(&other.times[PFK__TIME_TURN], 1000, 2);
	pfk__stats_add(&other, &stats);
	pfk__stats_add(&other, &stats);
	is_int(other.counts[PFK__COUNT_ACCEPTED], 5, "counters add up");
	is_int(pfk__histogram_count(&other.times[PFK__TIME_TURN]), 202,
	    "and histograms");
	is_int(other.connections, 3, "and other values do not");
}

static void
cpu(void)
{
	struct pfk__stats s = {.cpu_ns = {0, PFK_SECOND_NS / 2},
	    .cpu_at_ns = {PFK_SECOND_NS, 2 * PFK_SECOND_NS}};

	is_int(pfk__stats_cpu(&s, 2 * PFK_SECOND_NS) * 100, 50, "half a CPU");
	is_int(pfk__stats_cpu(&s, 11 * PFK_SECOND_NS) * 100, 5,
	    "less, when it has not turned for long");
	s.cpu_at_ns[1] = s.cpu_at_ns[0];
	is_int(pfk__stats_cpu(&s, PFK_SECOND_NS) * 100, 0, "or just begun");
}

static void
metrics(void)
{
	static const struct {
		enum pfk_metric_kind kind;
		const char *name;
	} bad[] = {{PFK_COUNTER, ""}, {PFK_COUNTER, "lines_total "},
	    {PFK_COUNTER, "Lines_total"}, {PFK_COUNTER, "linestotal"},
	    {PFK_COUNTER, "chat_lines"}, {PFK_COUNTER, "_total"},
	    {PFK_GAUGE, "chat_lines_total"}, {PFK_TIMES, "chat_wait"},
	    {PFK_COUNTER, "prefork_lines_total"}, {PFK_GAUGE, "9_lives"}};
	struct pfk_loop *l = pfk_loop_new(NULL);
	int lines, users, wait, n = 3;
	char name[32];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(pfk_metric_define(bad[i].kind, bad[i].name, "x") == -1 &&
			errno == EINVAL,
		    "no name: '%s'", bad[i].name);
	ok(pfk_metric_define(PFK_GAUGE, "chat_x", "a\nb") == -1, "two lines");
	lines = pfk_metric_define(PFK_COUNTER, "chat_lines_total", "Lines.");
	users = pfk_metric_define(PFK_GAUGE, "chat_users", "Users.");
	wait = pfk_metric_define(PFK_TIMES, "chat_wait_seconds", "Waits.");
	ok(lines >= 0 && users >= 0 && wait >= 0, "one of each kind");
	ok(pfk_metric_define(PFK_GAUGE, "chat_users", "x") == -1 &&
		errno == EEXIST,
	    "no name twice");
	pfk_metric_add(l, lines, 2);
	pfk_metric_add(l, lines, 3);
	pfk_metric_set(l, users, 9);
	pfk_metric_set(l, users, 8);
	pfk_metric_time(l, wait, 1000);
	/* Not of that kind, or none at all. */
	pfk_metric_add(l, users, 100);
	pfk_metric_set(l, lines, 100);
	pfk_metric_time(l, lines, 100);
	pfk_metric_add(l, -1, 1);
	pfk_metric_set(l, 1000, 1);
	pfk_metric_time(l, 1000, 1);
	is_int(l->stats->own[0], 5, "a counter");
	is_int(l->stats->own[1], 8, "a gauge");
	is_int(pfk__histogram_count(&l->stats->own_times[0]), 1, "times");
	pfk_count_dropped(l, PFK_DROPPED_LIMIT, 4);
	is_int(l->stats->counts[PFK__COUNT_DROPPED_LIMIT], 4, "dropped");
	for (; n < 100; n++) {
		snprintf(name, sizeof(name), "chat_n%d", n);
		if (pfk_metric_define(PFK_GAUGE, name, "x") == -1)
			break;
	}
	is_int(errno, ENOSPC, "there is an end");
	is_int(n, PFK__METRICS_MAX + 1, "after 32 counters and gauges");
	pfk_loop_free(l);
}

/* The last ones, and none of those that are overwritten. */
static void
events(void)
{
	struct pfk_addr peer;
	char text[120];
	uint64_t ns;

	ok(!pfk__record_describe(&recorder, 0, text, sizeof(text), &ns),
	    "no event yet");
	pfk_addr_parse(&peer, "192.0.2.1", 7);
	pfk__record_peer(&recorder, 5, PFK__HAPPENED_ACCEPT, 9, &peer);
	ok(pfk__record_describe(&recorder, 0, text, sizeof(text), &ns) &&
		ns == 5,
	    "an event");
	is_str(text, "accepted 192.0.2.1:7, descriptor 9", "in words");
	pfk_addr_parse(&peer, "2001:db8::5", 8);
	pfk__record_peer(&recorder, 6, PFK__HAPPENED_TAKE, 10, &peer);
	pfk__record_describe(&recorder, 1, text, sizeof(text), &ns);
	is_str(text, "took over [2001:db8::5]:8, descriptor 10", "IPv6");
	pfk__record_detail(&recorder, 7, PFK__HAPPENED_CLOSE, 10,
	    PFK__COUNT_CLOSED_IDLE);
	pfk__record_describe(&recorder, 2, text, sizeof(text), &ns);
	is_str(text, "closed descriptor 10: it was idle", "with a cause");
	for (int i = 0; i < PFK__EVENTS; i++)
		pfk__record_event(&recorder, 8, PFK__HAPPENED_RECEIVE, 9, 5);
	ok(!pfk__record_describe(&recorder, 2, text, sizeof(text), &ns),
	    "it is overwritten");
	ok(pfk__record_describe(&recorder, 3, text, sizeof(text), &ns),
	    "the next one is there");
	is_str(text, "received 5 bytes, descriptor 9", "as it was");
	pfk__record_event(&recorder, 9, PFK__HAPPENED_REBUILT, 0, 1);
	pfk__record_describe(&recorder, PFK__EVENTS + 3, text, sizeof(text),
	    &ns);
	is_str(text, "went on with 1 connection of its predecessor",
	    "one of a kind");
	memset(recorder.ring, 0xff, sizeof(recorder.ring));
	ok(!pfk__record_describe(&recorder, 100, text, sizeof(text), &ns),
	    "garbage is no event");
	for (int i = 0; i < 20; i++) {
		snprintf(text, sizeof(text), "line %d", i);
		pfk__record_line(&recorder, 1, text);
	}
	is_str(recorder.lines[19 % PFK__LINES].text, "line 19",
	    "the last line");
}

/* Those of one process, when others have followed it. */
static void
processes(void)
{
	static struct pfk__recorder r;
	uint64_t first, end, until;

	for (int pid = 10; pid < 13; pid++) {
		pfk__record_event(&r, (uint64_t)pid, PFK__HAPPENED_START, -1,
		    (uint64_t)pid);
		for (int i = 0; i < pid; i++)
			pfk__record_event(&r, (uint64_t)pid, PFK__HAPPENED_SEND,
			    3, 1);
	}
	pfk__record_find(&r, 11, 32, &first, &end, &until);
	is_int(first, 11, "it begins with its start");
	is_int(end, 23, "and ends before its successor's");
	is_int(until, 12, "whose time is known");
	pfk__record_find(&r, 11, 5, &first, &end, &until);
	is_int(first, 18, "the last five");
	pfk__record_find(&r, 12, 32, &first, &end, &until);
	ok(end == r.n && until == UINT64_MAX, "it has no successor");
	for (int i = 0; i < PFK__EVENTS; i++)
		pfk__record_event(&r, 12, PFK__HAPPENED_SEND, 3, 1);
	pfk__record_event(&r, 13, PFK__HAPPENED_START, -1, 13);
	pfk__record_find(&r, 12, 32, &first, &end, &until);
	is_int(end - first, 32, "its start is overwritten");
	is_int(end, r.n - 1, "its end is not");
}

int
main(void)
{
	buckets();
	quantiles();
	sums();
	cpu();
	metrics();
	events();
	processes();
	return done_testing();
}
