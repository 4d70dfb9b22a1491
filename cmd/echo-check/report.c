/*
 * report.c: the findings of a run, for people, programs and prove(1).
 */
#include <stdio.h>
#include <unistd.h>

#include "check.h"

static const struct {
	const char *name;
	double fraction;
} percentiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};

#define PERCENTILES (sizeof(percentiles) / sizeof(percentiles[0]))

static double
seconds(const struct check *c)
{
	uint64_t ns = c->end_ns > c->start_ns ? c->end_ns - c->start_ns : 1;

	return (double)ns / (double)PFK_SECOND_NS;
}

/* A network may double, reorder and delay datagrams, TCP must not. */
bool
report_fails(const struct check *c, enum fault kind)
{
	return kind < LOSSES || !c->o.udp || c->o.strict;
}

bool
report_failed(const struct check *c)
{
	for (int i = 0; i < FAULTS; i++) {
		if (c->stats.faults[i] > 0 && report_fails(c, i))
			return true;
	}
	return c->stats.echoed == 0;
}

void
report_live(struct check *c)
{
	const struct stats *s = &c->stats;

	c->live_shown = true;
	fprintf(stderr, "\r%6.0f s  %llu echoed, %llu lost, p99 %.3f ms  ",
	    (double)(pfk_loop_now(c->loop) - c->start_ns) / 1e9,
	    (unsigned long long)s->echoed, (unsigned long long)stats_lost(s),
	    (double)stats_percentile(s, 0.99) / 1e6);
}

void
report_live_end(struct check *c)
{
	if (c->live_shown)
		fputc('\n', stderr);
	c->live_shown = false;
}

static void
report_table(const struct check *c)
{
	const struct stats *s = &c->stats;

	printf("%-12s %12llu\n", "sent", (unsigned long long)s->sent);
	printf("%-12s %12llu  %.0f/s, %.1f MB/s\n", "echoed",
	    (unsigned long long)s->echoed, (double)s->echoed / seconds(c),
	    (double)s->bytes / seconds(c) / 1e6);
	if (s->unsent > 0)
		printf("%-12s %12llu\n", "unsent",
		    (unsigned long long)s->unsent);
	printf("%-12s %12llu\n", "lost", (unsigned long long)stats_lost(s));
	for (int i = 0; i < FAULTS; i++) {
		if (s->faults[i] > 0)
			printf("%s%-*s %12llu\n", i < LOSSES ? "  " : "",
			    i < LOSSES ? 10 : 12, fault_names[i],
			    (unsigned long long)s->faults[i]);
	}
	for (size_t i = 0; i < PERCENTILES; i++)
		printf("%-12s %12.3f ms\n", percentiles[i].name,
		    (double)stats_percentile(s, percentiles[i].fraction) / 1e6);
	printf("%-12s %12.3f ms\n", "slowest", (double)s->slowest_ns / 1e6);
}

static void
report_json(const struct check *c)
{
	const struct stats *s = &c->stats;

	printf(
	    "{\"sent\": %llu, \"unsent\": %llu, \"echoed\": %llu, "
	    "\"lost\": %llu, \"seconds\": %.3f, \"rate\": %.1f, \"bytes\": %llu, ",
	    (unsigned long long)s->sent, (unsigned long long)s->unsent,
	    (unsigned long long)s->echoed, (unsigned long long)stats_lost(s),
	    seconds(c), (double)s->echoed / seconds(c),
	    (unsigned long long)s->bytes);
	for (int i = 0; i < FAULTS; i++)
		printf("\"%s\": %llu, ", fault_names[i],
		    (unsigned long long)s->faults[i]);
	printf("\"latency_ms\": {");
	for (size_t i = 0; i < PERCENTILES; i++)
		printf("\"%s\": %.6f, ", percentiles[i].name,
		    (double)stats_percentile(s, percentiles[i].fraction) / 1e6);
	printf("\"slowest\": %.6f}}\n", (double)s->slowest_ns / 1e6);
}

static void
report_tap(const struct check *c)
{
	const struct stats *s = &c->stats;

	printf("1..%d\n%sok 1 - %llu messages were echoed\n", FAULTS + 1,
	    s->echoed > 0 ? "" : "not ", (unsigned long long)s->echoed);
	for (int i = 0; i < FAULTS; i++)
		printf("%sok %d - %s: %llu\n",
		    s->faults[i] > 0 && report_fails(c, i) ? "not " : "", i + 2,
		    fault_names[i], (unsigned long long)s->faults[i]);
	if (s->unsent > 0)
		printf("# %llu were due and not sent\n",
		    (unsigned long long)s->unsent);
}

void
report(const struct check *c)
{
	if (c->o.json)
		report_json(c);
	else if (c->o.tap)
		report_tap(c);
	else if (!c->o.quiet)
		report_table(c);
	if (c->o.plot)
		plot_print(&c->plot, &c->stats);
}
