/*
 * stats.c: a worker's counters and histograms.
 *
 * Layer: event.
 */
#include "event/stats.h"

#include <time.h>

#include "event/loop.h"

/* The CPU time is asked for so often, by a loop that turns. */
#define CPU_NS PFK_SECOND_NS

uint64_t
pfk__bucket_end(unsigned i)
{
	unsigned power, quarter;

	if (i == 0)
		return UINT64_C(1) << PFK__BUCKET_LOW;
	power = PFK__BUCKET_LOW + (i - 1) / 4;
	quarter = (i - 1) % 4;
	return (UINT64_C(5) + quarter) << (power - 2);
}

uint64_t
pfk__histogram_count(const struct pfk__histogram *h)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < PFK__BUCKETS; i++)
		n += h->buckets[i];
	return n;
}

uint64_t
pfk__histogram_below(const struct pfk__histogram *h, unsigned power)
{
	unsigned end = 1 + (power - PFK__BUCKET_LOW) * 4;
	uint64_t n = 0;

	for (unsigned i = 0; i < end && i < PFK__BUCKETS; i++)
		n += h->buckets[i];
	return n;
}

uint64_t
pfk__histogram_quantile(const struct pfk__histogram *h, double q)
{
	uint64_t n = pfk__histogram_count(h), below = 0;

	for (unsigned i = 0; n > 0 && i < PFK__BUCKETS; i++) {
		below += h->buckets[i];
		if (h->buckets[i] > 0 && (double)below >= q * (double)n)
			return pfk__bucket_end(i);
	}
	return 0;
}

static void
add_histogram(struct pfk__histogram *to, const struct pfk__histogram *from)
{
	to->sum_ns += from->sum_ns;
	for (unsigned i = 0; i < PFK__BUCKETS; i++)
		to->buckets[i] += from->buckets[i];
}

void
pfk__stats_add(struct pfk__stats *to, const struct pfk__stats *from)
{
	int n;
	const struct pfk__metric *metrics = pfk__metrics(&n);

	for (int i = 0; i < PFK__COUNT_END; i++)
		to->counts[i] += from->counts[i];
	for (int i = 0; i < PFK__TIME_END; i++)
		add_histogram(&to->times[i], &from->times[i]);
	for (int i = 0; i < n; i++) {
		int k = metrics[i].index;

		if (metrics[i].kind == PFK_COUNTER)
			to->own[k] += from->own[k];
		else if (metrics[i].kind == PFK_TIMES)
			add_histogram(&to->own_times[k], &from->own_times[k]);
	}
}

double
pfk__stats_cpu(const struct pfk__stats *s, uint64_t now_ns)
{
	uint64_t used = s->cpu_ns[1] - s->cpu_ns[0];
	uint64_t until = s->cpu_at_ns[1];

	/* A loop that has not turned since then has used nothing. */
	if (now_ns > until + 2 * CPU_NS)
		until = now_ns;
	if (until <= s->cpu_at_ns[0])
		return 0;
	return (double)used / (double)(until - s->cpu_at_ns[0]);
}

static uint64_t
cpu_time(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * PFK_SECOND_NS + (uint64_t)ts.tv_nsec;
}

void
pfk__stats_begin(struct pfk_loop *l, struct pfk__stats *s)
{
	l->stats = s;
	/* The rebuild counts each connection that it finds. */
	s->connections = 0;
	l->cpu_base_ns = s->counts[PFK__COUNT_CPU_NS];
	s->cpu_ns[0] = s->cpu_ns[1] = l->cpu_base_ns;
	s->cpu_at_ns[0] = s->cpu_at_ns[1] = l->now;
}

void
pfk__stats_turn(struct pfk_loop *l, uint64_t end_ns)
{
	struct pfk__stats *s = l->stats;

	if (l->turns > 0 && end_ns > l->now)
		pfk__histogram_add(&s->times[PFK__TIME_TURN], end_ns - l->now,
		    1);
	if (end_ns - s->cpu_at_ns[1] < CPU_NS)
		return;
	s->counts[PFK__COUNT_CPU_NS] = l->cpu_base_ns + cpu_time();
	s->cpu_ns[0] = s->cpu_ns[1];
	s->cpu_at_ns[0] = s->cpu_at_ns[1];
	s->cpu_ns[1] = s->counts[PFK__COUNT_CPU_NS];
	s->cpu_at_ns[1] = end_ns;
}
