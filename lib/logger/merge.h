/*
 * merge.h: the lines of several writers in the order of their times.
 *
 * A worker that logs and then sends the master a message has its line before
 * the line that the master logs about it, although they come by two pipes.
 */
#ifndef PFK_LOGGER_MERGE_H
#define PFK_LOGGER_MERGE_H

#include <prefork.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"

struct pfk__source;

#define PFK__MERGE_LINES 16384
#define PFK__MERGE_BYTES (1024 * 1024)

struct pfk__merged {
	uint64_t time_ns; /* on CLOCK_MONOTONIC */
	const struct pfk__source *source;
	uint32_t text;   /* where in the texts */
	uint32_t number; /* of those with the same time */
	enum pfk_level level;
	bool keeper;
	int pid;
};

struct pfk__merge {
	struct pfk__merged lines[PFK__MERGE_LINES];
	size_t next, n; /* held: lines[next..n) */
	char texts[PFK__MERGE_BYTES];
	size_t used;
	uint64_t latest; /* of the lines; 0: they are not in order */
};

/* Whether the lines of 4 KiB of a pipe fit. */
bool pfk__merge_has_room(const struct pfk__merge *m);
void pfk__merge_add(struct pfk__merge *m, const struct pfk__source *source,
    const struct pfk__relayed *line);

bool pfk__merge_is_empty(const struct pfk__merge *m);

/* The next line that is not later than until_ns, or NULL. */
const struct pfk__merged *pfk__merge_next(struct pfk__merge *m,
    uint64_t until_ns);

#endif
