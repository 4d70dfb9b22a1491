/*
 * rows.h: the state of the slots, as status, metrics and top need it.
 */
#ifndef PFK_PROCESS_ROWS_H
#define PFK_PROCESS_ROWS_H

#include <prefork.h>

#include "event/stats.h"

struct pfk__child;
struct pfk__master;
struct pfk__place;

struct pfk__row {
	int slot;
	const struct pfk__place *place;
	const struct pfk__child *worker; /* that serves, or boots; or NULL */
	bool stalls;
	bool has_queue;
	unsigned queue, queue_max; /* of its TCP listeners together */
	double cpu;                /* its worker's share of one */
	struct pfk__stats sum;     /* since the start of the service */
};

/* Of the slot; the accept queues are asked for now. */
void pfk__row_make(struct pfk__row *r, const struct pfk__master *m, int slot);

/* A slot that was given up is shown while its sockets are served. */
bool pfk__row_is_shown(const struct pfk__master *m, const struct pfk__row *r);

/*
 * Whether the slot's worker is there and serves nobody: it is stopped, its loop has
 * stood still for half of the hang limit, or so long that its queue is served by
 * another.
 */
bool pfk__row_stalls(const struct pfk__master *m, int slot);

/* "serving", "stalled" and so on. */
const char *pfk__row_state(const struct pfk__row *r);

/* The keeper's pid, or 0 where it has none or is not known yet. */
pid_t pfk__row_keeper(const struct pfk__row *r);

#endif
