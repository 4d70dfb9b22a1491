/*
 * lines.h: cut the bytes of one writer's pipe into lines.
 *
 * The writer is not trusted: any bytes give lines of bounded length.  A
 * relayed line (base/log.h) ends at its NUL, text at its newline or at the next
 * relayed line.
 */
#ifndef PFK_LOGGER_LINES_H
#define PFK_LOGGER_LINES_H

#include <prefork.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"

struct pfk__lines {
	bool relayed; /* else text */
	size_t len;
	char buf[PFK__RELAY_MAX + 1]; /* of a line that is not complete */
};

typedef void pfk__lines_cb(void *arg, const struct pfk__relayed *line);

void pfk__lines_feed(struct pfk__lines *r, const char *data, size_t n,
    pfk__lines_cb *cb, void *arg);

/* The writer has ended: a line without an end is one. */
void pfk__lines_end(struct pfk__lines *r, pfk__lines_cb *cb, void *arg);

#endif
