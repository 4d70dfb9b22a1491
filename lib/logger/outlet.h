/*
 * outlet.h: lines that wait to be written to a sink, and the retries while it
 * refuses them.
 *
 * Nothing is thrown away here: after a refusal the lines stay, a line that was
 * written in part is completed, and the caller puts no more until there is
 * room.
 */
#ifndef PFK_LOGGER_OUTLET_H
#define PFK_LOGGER_OUTLET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"

#define PFK__OUTLET_BYTES (64 * 1024)

struct pfk__outlet {
	struct pfk__sink *sink;
	struct pfk__line_style style;
	char buf[PFK__OUTLET_BYTES];
	size_t start, len; /* unwritten: buf[start..len) */
	size_t line;       /* where the line at start begins */
	bool blocked;
	int error;      /* of the refusal now; 0: the reader is slow */
	bool told;      /* the caller knows the error */
	int last_error; /* of this refusal or the one before */
	int retry_ms;
	uint64_t since_ns; /* the fault */
};

void pfk__outlet_init(struct pfk__outlet *o, struct pfk__sink *sink);

/* Write to fd from now on, beginning with the line that is incomplete. */
void pfk__outlet_move(struct pfk__outlet *o, int fd);

/* Whether one more line fits. */
bool pfk__outlet_has_room(const struct pfk__outlet *o);
void pfk__outlet_put(struct pfk__outlet *o, const struct pfk__line *line);

/* Write; true: all is written. */
bool pfk__outlet_write(struct pfk__outlet *o);

bool pfk__outlet_is_blocked(const struct pfk__outlet *o);

/* Why it is blocked, if not by a slow reader; once for each cause. */
int pfk__outlet_error(const struct pfk__outlet *o);
int pfk__outlet_new_trouble(struct pfk__outlet *o);

/* Why lines were dropped, in words. */
const char *pfk__outlet_cause(const struct pfk__outlet *o);

/* While blocked: the descriptor to poll, or -1; and how long to wait. */
int pfk__outlet_fd(const struct pfk__outlet *o);
int pfk__outlet_retry_ms(struct pfk__outlet *o);

/* The descriptor of the target, or -1: it is the syslog daemon. */
int pfk__outlet_target(const struct pfk__outlet *o);

#endif
