/*
 * stats.c: counts and a histogram of latencies.
 */
#include "stats.h"

#include <errno.h>

const char *const fault_names[FAULTS] = {"refused", "reset", "timeout", "short",
    "mismatch", "other", "late", "duplicate", "reordered"};

enum fault
fault_of(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return FAULT_REFUSED;
	case ECONNRESET:
	case ECONNABORTED:
	case EPIPE:
		return FAULT_RESET;
	case ETIMEDOUT:
		return FAULT_TIMEOUT;
	case 0:
		return FAULT_SHORT;
	default:
		return FAULT_OTHER;
	}
}

static unsigned
bucket(uint64_t ns)
{
	unsigned power;

	if (ns < HISTOGRAM_PARTS)
		return (unsigned)ns;
	power = 63 - (unsigned)__builtin_clzll(ns);
	return (power - 4) * HISTOGRAM_PARTS +
	    (unsigned)(ns >> (power - 5)) % HISTOGRAM_PARTS;
}

static uint64_t
bucket_top(unsigned b)
{
	unsigned power = b / HISTOGRAM_PARTS;

	if (power == 0)
		return b;
	return (uint64_t)(HISTOGRAM_PARTS + b % HISTOGRAM_PARTS + 1)
	    << (power - 1);
}

void
stats_echoed(struct stats *s, size_t bytes, uint64_t latency_ns)
{
	s->echoed++;
	s->bytes += bytes;
	s->histogram[bucket(latency_ns)]++;
	if (latency_ns > s->slowest_ns)
		s->slowest_ns = latency_ns;
}

uint64_t
stats_lost(const struct stats *s)
{
	uint64_t n = 0;

	for (int i = 0; i < LOSSES; i++)
		n += s->faults[i];
	return n;
}

uint64_t
stats_percentile(const struct stats *s, double fraction)
{
	double wanted = fraction * (double)s->echoed;
	uint64_t seen = 0, top;

	for (unsigned b = 0; b < HISTOGRAM_SIZE; b++) {
		seen += s->histogram[b];
		if (seen > 0 && (double)seen >= wanted) {
			top = bucket_top(b);
			return top < s->slowest_ns ? top : s->slowest_ns;
		}
	}
	return s->slowest_ns;
}
