/*
 * plot.c: the latencies as pictures of characters.
 *
 * All scales of latency are logarithmic: a level is a quarter of a power of two.
 */
#include "plot.h"

#include <stdbool.h>
#include <stdio.h>

#define BAR 40
#define ROWS 10
#define FIRST_PART_NS 1000000
/* Shorter latencies have the row of this one: with three decimals they look alike. */
#define LEAST_NS 1024

static unsigned
level_of(uint64_t ns)
{
	unsigned power;

	if (ns < LEAST_NS)
		ns = LEAST_NS;
	power = 63 - (unsigned)__builtin_clzll(ns);
	return power * PLOT_PARTS + (unsigned)(ns >> (power - 2)) % PLOT_PARTS;
}

static double
level_ms(unsigned level)
{
	double base = (double)(UINT64_C(1) << level / PLOT_PARTS);

	return base * (1 + (double)(level % PLOT_PARTS) / PLOT_PARTS) / 1e6;
}

/* Two parts become one. */
static void
fold(struct plot *p)
{
	for (int c = 0; c < PLOT_COLUMNS; c++) {
		bool there = 2 * c < PLOT_COLUMNS;

		for (int i = 0; i < PLOT_LEVELS; i++)
			p->levels[c][i] = there
			    ? p->levels[2 * c][i] + p->levels[2 * c + 1][i]
			    : 0;
		p->lost[c] = there ? p->lost[2 * c] + p->lost[2 * c + 1] : 0;
	}
	p->part_ns *= 2;
}

static unsigned
column_of(struct plot *p, uint64_t at_ns)
{
	if (p->part_ns == 0)
		p->part_ns = FIRST_PART_NS;
	while (at_ns / p->part_ns >= PLOT_COLUMNS)
		fold(p);
	return (unsigned)(at_ns / p->part_ns);
}

void
plot_echoed(struct plot *p, uint64_t at_ns, uint64_t latency_ns)
{
	p->levels[column_of(p, at_ns)][level_of(latency_ns)]++;
}

void
plot_lost(struct plot *p, uint64_t at_ns)
{
	p->lost[column_of(p, at_ns)]++;
}

/* distribution */

static void
print_distribution(const struct plot *p, uint64_t echoed)
{
	uint64_t counts[64] = {0}, most = 0;
	int first = 64, last = 0, least = (int)level_of(0) / PLOT_PARTS;

	for (int c = 0; c < PLOT_COLUMNS; c++) {
		for (int i = 0; i < PLOT_LEVELS; i++)
			counts[i / PLOT_PARTS] += p->levels[c][i];
	}
	for (int i = 0; i < 64; i++) {
		if (counts[i] == 0)
			continue;
		first = i < first ? i : first;
		last = i;
		most = counts[i] > most ? counts[i] : most;
	}
	printf("\nlatency, ms\n");
	for (int i = first; i <= last; i++) {
		/* One character at least, so that a rare one is seen. */
		int bar = (int)((counts[i] * BAR + most - 1) / most);

		printf("%9.3f - %-9.3f %6.2f%% %.*s\n",
		    i > least ? level_ms((unsigned)i * PLOT_PARTS) : 0,
		    level_ms((unsigned)(i + 1) * PLOT_PARTS),
		    100 * (double)counts[i] / (double)echoed, bar,
		    "########################################");
	}
}

/* course */

/* The level that so much of a column stays below, or -1 where it is empty. */
static int
column_level(const struct plot *p, int column, double fraction)
{
	uint64_t all = 0, seen = 0;

	for (int i = 0; i < PLOT_LEVELS; i++)
		all += p->levels[column][i];
	for (int i = 0; i < PLOT_LEVELS && all > 0; i++) {
		seen += p->levels[column][i];
		if ((double)seen >= fraction * (double)all)
			return i;
	}
	return -1;
}

struct course {
	int median[PLOT_COLUMNS], high[PLOT_COLUMNS];
	int n, low, top, step; /* levels; step: of a row */
	uint64_t lost;
};

static void
make_course(const struct plot *p, struct course *c)
{
	*c = (struct course){.low = PLOT_LEVELS};
	for (int i = 0; i < PLOT_COLUMNS; i++) {
		if (p->lost[i] > 0 || column_level(p, i, 1) != -1)
			c->n = i + 1;
	}
	for (int i = 0; i < c->n; i++) {
		c->median[i] = column_level(p, i, 0.5);
		c->high[i] = column_level(p, i, 0.99);
		c->lost += p->lost[i];
		if (c->median[i] == -1)
			continue;
		c->low = c->median[i] < c->low ? c->median[i] : c->low;
		c->top = c->high[i] > c->top ? c->high[i] : c->top;
	}
	c->step = (c->top - c->low) / ROWS + 1;
}

static void
print_row(const struct course *c, int low)
{
	char line[PLOT_COLUMNS + 1];

	for (int i = 0; i < c->n; i++) {
		bool median = c->median[i] >= low &&
		    c->median[i] < low + c->step,
		     high = c->high[i] >= low && c->high[i] < low + c->step;

		line[i] = median && c->median[i] >= 0 ? 'o' : high ? '+' : ' ';
	}
	line[c->n] = '\0';
	for (int i = c->n; i > 0 && line[i - 1] == ' '; i--)
		line[i - 1] = '\0';
	printf("%9.3f |%s\n", level_ms((unsigned)low), line);
}

static void
print_lost(const struct plot *p, const struct course *c)
{
	printf("%9s |", "lost");
	for (int i = 0; i < c->n; i++)
		putchar(p->lost[i] == 0 ? ' ' : 'x');
	printf("\n");
}

static void
print_course(const struct plot *p)
{
	struct course c;

	make_course(p, &c);
	if (c.low == PLOT_LEVELS)
		return;
	printf("\ncourse, ms: o the median, + 99 of 100 are below\n");
	for (int low = c.low + (c.top - c.low) / c.step * c.step; low >= c.low;
	     low -= c.step)
		print_row(&c, low);
	printf("%9s +%.*s\n", "", c.n,
	    "------------------------------------------------------------");
	if (c.lost > 0)
		print_lost(p, &c);
	printf("%9s  0%*.1f s\n", "", c.n > 6 ? c.n - 3 : 4,
	    (double)c.n * (double)p->part_ns / 1e9);
}

void
plot_print(const struct plot *p, const struct stats *s)
{
	if (s->echoed == 0)
		return;
	print_distribution(p, s->echoed);
	print_course(p);
}
