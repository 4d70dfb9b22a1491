/*
 * stats.h: what came back, what did not and how, and how long it took.
 */
#ifndef CHECK_STATS_H
#define CHECK_STATS_H

#include <stddef.h>
#include <stdint.h>

enum loss {
	LOSS_REFUSED,   /* the connection, or ICMP says so */
	LOSS_RESET,     /* the connection broke */
	LOSS_TIMEOUT,   /* nothing came in time */
	LOSS_SHORT,     /* the end came too early, or too few bytes */
	LOSS_MISMATCH,  /* other bytes came */
	LOSS_DUPLICATE, /* it came again */
	LOSS_REORDERED, /* it came, but overtaken by a later one */
	LOSS_OTHER,     /* such as an unreachable network */
	LOSSES
};

/* Log-linear: 32 parts to each power of two of nanoseconds. */
#define HISTOGRAM_PARTS 32
#define HISTOGRAM_SIZE (64 * HISTOGRAM_PARTS)

struct stats {
	uint64_t sent;
	uint64_t unsent; /* due, but there was no getting to them */
	uint64_t echoed;
	uint64_t bytes; /* of messages that came back */
	uint64_t lost[LOSSES];
	uint64_t histogram[HISTOGRAM_SIZE];
	uint64_t slowest_ns;
};

extern const char *const loss_names[LOSSES];

/* The kind of an errno. */
enum loss loss_of(int error);

void stats_echoed(struct stats *s, size_t bytes, uint64_t latency_ns);
uint64_t stats_lost(const struct stats *s);

/* The latency that a fraction (0 to 1) stays below, to 3 %. */
uint64_t stats_percentile(const struct stats *s, double fraction);

#endif
