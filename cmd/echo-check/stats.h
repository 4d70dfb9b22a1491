/*
 * stats.h: the answers, the losses by kind, and the latencies.
 */
#ifndef CHECK_STATS_H
#define CHECK_STATS_H

#include <stddef.h>
#include <stdint.h>

/* How a message fails. Those below LOSSES are losses: no good answer came. */
enum fault {
	FAULT_REFUSED,  /* the connection, or ICMP says so */
	FAULT_RESET,    /* the connection broke */
	FAULT_TIMEOUT,  /* nothing came in time */
	FAULT_SHORT,    /* the end came too early, or too few bytes */
	FAULT_MISMATCH, /* other bytes came */
	FAULT_OTHER,    /* such as an unreachable network */
	LOSSES,
	FAULT_LATE = LOSSES, /* it came, but was counted as a loss before */
	FAULT_DUPLICATE,     /* it came again */
	FAULT_REORDERED,     /* it came, but after a later one */
	FAULTS
};

/* Log-linear: 32 parts to each power of two of nanoseconds. */
#define HISTOGRAM_PARTS 32
#define HISTOGRAM_SIZE (64 * HISTOGRAM_PARTS)

struct stats {
	uint64_t sent;
	uint64_t unsent; /* due, but there was no getting to them */
	uint64_t echoed;
	uint64_t bytes; /* of messages that came back */
	uint64_t faults[FAULTS];
	uint64_t histogram[HISTOGRAM_SIZE];
	uint64_t slowest_ns;
};

extern const char *const fault_names[FAULTS];

/* The kind of an errno. */
enum fault fault_of(int error);

void stats_echoed(struct stats *s, size_t bytes, uint64_t latency_ns);
uint64_t stats_lost(const struct stats *s);

/* The latency that a fraction (0 to 1) stays below, to 3 %. */
uint64_t stats_percentile(const struct stats *s, double fraction);

#endif
