/*
 * deaths.h: the last deaths of workers, for prefork-ctl why.
 *
 * Invariants:
 *  1. the list is in order of time, and bounded as a whole and for each slot,
 *     so that a slot whose worker dies again and again hides no other slot's;
 *  2. its texts are printable.
 */
#ifndef PFK_PROCESS_DEATHS_H
#define PFK_PROCESS_DEATHS_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <time.h>

#define PFK__DEATHS_MAX 128
#define PFK__DEATHS_OF_SLOT 8

struct pfk__child;
struct pfk__json;
struct pfk__master;

#define PFK__LAST_EVENTS 32
#define PFK__LAST_LINES 4

/* Each is a line: the seconds before the death, then the event. */
struct pfk__last {
	int n, n_lines;
	char events[PFK__LAST_EVENTS][120];
	char lines[PFK__LAST_LINES][176];
};

struct pfk__death {
	time_t at;
	uint64_t at_ns;
	uint64_t age_ns; /* of the worker */
	int slot;
	pid_t pid;
	int status;             /* as wait(2) has it */
	char cause[160];        /* that the master knows of, or "" */
	char doing[200];        /* at its death, by its keeper's word, or "" */
	const char *outcome;    /* of its connections */
	struct pfk__last *last; /* its last events and lines, or NULL */
};

struct pfk__deaths {
	struct pfk__death list[PFK__DEATHS_MAX];
	int n;
	uint64_t oom_kills; /* in the cgroup, at the last look */
};

/* Begin, and ignore the deaths that the cgroup has counted before. */
void pfk__deaths_watch(struct pfk__deaths *d);

/* Note the death of c's worker; doing may be "". */
void pfk__deaths_note(const struct pfk__child *c, pid_t pid, int status,
    const char *doing, const char *outcome);

void pfk__deaths_free(struct pfk__deaths *d);

/* Of one slot, or of all of them for -1; the latest comes first. */
void pfk__deaths_text(FILE *f, const struct pfk__master *m, int slot);
/* An array; the latest comes first. */
void pfk__deaths_json(struct pfk__json *j, const struct pfk__master *m);

#endif
