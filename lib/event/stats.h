/*
 * stats.h: a worker's counters and histograms.
 *
 * One process writes them, without locks; the master reads them at any time
 * (process/area.h).  A successor of a killed worker goes on with the same ones, so
 * that a counter never falls.
 *
 * A histogram is log-linear: four buckets for each power of two, so that a value
 * read from it is at most a quarter too high, and two of them add up.
 */
#ifndef PFK_EVENT_STATS_H
#define PFK_EVENT_STATS_H

#include <prefork.h>

enum pfk__count {
	PFK__COUNT_ACCEPTED,
	/* Connections that ended, by cause. */
	PFK__COUNT_CLOSED_PEER,
	PFK__COUNT_CLOSED_IDLE,
	PFK__COUNT_CLOSED_ONCE, /* its protocol has closed it */
	PFK__COUNT_CLOSED_LIMIT,
	PFK__COUNT_CLOSED_DRAIN,
	PFK__COUNT_CLOSED_ERROR,
	PFK__COUNT_HANDED_OVER,
	PFK__COUNT_RESUMED, /* taken over from another process */
	PFK__COUNT_BLAMED,  /* closed, because a worker died of it */
	PFK__COUNT_MESSAGES_IN,
	PFK__COUNT_MESSAGES_OUT,
	PFK__COUNT_BYTES_IN,
	PFK__COUNT_BYTES_OUT,
	PFK__COUNT_DATAGRAMS_IN,
	PFK__COUNT_DATAGRAMS_OUT,
	PFK__COUNT_DATAGRAM_BYTES_IN,
	PFK__COUNT_DATAGRAM_BYTES_OUT,
	/* Datagrams that were lost, by cause. */
	PFK__COUNT_DROPPED_SEND_BUFFER,
	PFK__COUNT_DROPPED_RECEIVE_BUFFER,
	PFK__COUNT_DROPPED_ERROR,
	PFK__COUNT_DROPPED_LOOP_GUARD,
	PFK__COUNT_DROPPED_LIMIT,
	PFK__COUNT_ADOPTIONS, /* sockets of siblings that it began to serve */
	PFK__COUNT_CPU_NS,
	/* Restarts of its slot's worker, by cause; the master's own. */
	PFK__COUNT_RESTARTS_KILLED,
	PFK__COUNT_RESTARTS_CRASHED,
	PFK__COUNT_RESTARTS_HUNG,
	PFK__COUNT_RESTARTS_EXITED,
	PFK__COUNT_RESTARTS_LEFT,
	PFK__COUNT_END /* a new one comes before it: see history.h */
};

enum pfk__time {
	PFK__TIME_TURN,       /* of the loop, without its wait */
	PFK__TIME_FIRST_BYTE, /* from accept(2) */
	PFK__TIME_RESPONSE,   /* from receive to send */
	PFK__TIME_END
};

/* The first bucket is for less than 2^LOW ns, the last one for all above. */
#define PFK__BUCKET_LOW 8
#define PFK__BUCKETS (1 + 4 * 28)

struct pfk__histogram {
	uint64_t sum_ns;
	uint64_t buckets[PFK__BUCKETS];
};

/* The program's own; its definitions are the process's: metric.c. */
#define PFK__METRICS_MAX 32
#define PFK__METRIC_TIMES_MAX 4

struct pfk__stats {
	uint64_t counts[PFK__COUNT_END];
	uint64_t own[PFK__METRICS_MAX];
	struct pfk__histogram times[PFK__TIME_END];
	struct pfk__histogram own_times[PFK__METRIC_TIMES_MAX];
	/* These are not sums. */
	uint64_t connections;
	/* CPU time at two moments, at least a second apart. */
	uint64_t cpu_ns[2], cpu_at_ns[2];
};

static inline unsigned
pfk__bucket_of(uint64_t ns)
{
	unsigned power, i;

	if (ns >> PFK__BUCKET_LOW == 0)
		return 0;
	power = 63 - (unsigned)__builtin_clzll(ns);
	i = 1 + (power - PFK__BUCKET_LOW) * 4 +
	    (unsigned)(ns >> (power - 2) & 3);
	return i < PFK__BUCKETS ? i : PFK__BUCKETS - 1;
}

static inline void
pfk__histogram_add(struct pfk__histogram *h, uint64_t ns, uint64_t n)
{
	h->buckets[pfk__bucket_of(ns)] += n;
	h->sum_ns += ns * n;
}

/* The values that the bucket is for are below this. */
uint64_t pfk__bucket_end(unsigned i);

uint64_t pfk__histogram_count(const struct pfk__histogram *h);

/* So many values are below 2^power ns. */
uint64_t pfk__histogram_below(const struct pfk__histogram *h, unsigned power);

/* Of 0 to 1; 0 where there is no value. */
uint64_t pfk__histogram_quantile(const struct pfk__histogram *h, double q);

/* Add all that are sums. */
void pfk__stats_add(struct pfk__stats *to, const struct pfk__stats *from);

/* The part of one CPU that the worker has used lately, 0 to 1. */
double pfk__stats_cpu(const struct pfk__stats *s, uint64_t now_ns);

/* In the worker, once a turn: note its length and, each second, the CPU time. */
void pfk__stats_turn(struct pfk_loop *l, uint64_t end_ns);

/* Begin to use s, which may have been a predecessor's, in a worker's loop. */
void pfk__stats_begin(struct pfk_loop *l, struct pfk__stats *s);

/* Whether the response to this message is timed: to one in 64. */
static inline bool
pfk__stats_times(const struct pfk__stats *s)
{
	return (s->counts[PFK__COUNT_MESSAGES_IN] & 63) == 1;
}

/* A program's metric, as pfk_metric_define has it. */
struct pfk__metric {
	enum pfk_metric_kind kind;
	int index; /* in own or own_times */
	char name[64];
	char help[128];
};

/* All that are defined; *n is their number. */
const struct pfk__metric *pfk__metrics(int *n);

#endif
