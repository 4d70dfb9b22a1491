/*
 * plot.h: the latencies as pictures of characters.
 */
#ifndef CHECK_PLOT_H
#define CHECK_PLOT_H

#include <stdint.h>

#include "stats.h"

#define PLOT_COLUMNS 60
/* Four parts to each power of two of nanoseconds. */
#define PLOT_PARTS 4
#define PLOT_LEVELS (64 * PLOT_PARTS)

/* A run in equal parts of its time, which double when it has outgrown them. */
struct plot {
	uint64_t part_ns; /* 0 before the first */
	uint32_t levels[PLOT_COLUMNS][PLOT_LEVELS];
	uint64_t lost[PLOT_COLUMNS];
};

/* at_ns counts from the start. */
void plot_echoed(struct plot *p, uint64_t at_ns, uint64_t latency_ns);
void plot_lost(struct plot *p, uint64_t at_ns);

/* Print the distribution and the course. */
void plot_print(const struct plot *p, const struct stats *s);

#endif
