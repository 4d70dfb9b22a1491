/*
 * history.h: the counters of all slots, over the ends of their workers.
 *
 * A child's counters are in its area (area.h) while it lives; when it has ended
 * they are added to its slot's past.  So a slot's count is the sum of both, and it
 * never falls.  A slot that was given up keeps its counts.
 *
 * For an upgrade in place: pfk__history_save writes all sums into a sealed
 * memfd, the next program gets its number, and pfk__history_load adds them
 * there; the time of the service's start goes with them.  The counts of the old workers after that, until they have left, are
 * lost.  Counters are matched by number, and a program's metrics by name, so
 * that the next program may have more.
 */
#ifndef PFK_PROCESS_HISTORY_H
#define PFK_PROCESS_HISTORY_H

#include <prefork.h>

#include "event/stats.h"

struct pfk__child;
struct pfk__master;

/* The connections that it had when it ended. */
uint64_t pfk__history_lost(const struct pfk__child *c);

/* The child has ended: add its counters to its slot's past. */
void pfk__history_fold(struct pfk__master *m, const struct pfk__child *c);

/* Count one of the slot, of the master's own: of restarts. */
void pfk__history_count(struct pfk__master *m, int slot, enum pfk__count count);

/* Count a restart after a death with this status, as wait(2) has it. */
void pfk__history_restart(struct pfk__master *m, const struct pfk__child *c,
    int status);

/*
 * All counts of the slot, those of its living workers included; connections are
 * theirs together.
 */
void pfk__history_sum(const struct pfk__master *m, int slot,
    struct pfk__stats *sum);

/* Reloads begun, also by the programs that this one has replaced. */
uint64_t pfk__history_reloads(const struct pfk__master *m);

void pfk__history_free(struct pfk__master *m);

/* A descriptor that exec(2) leaves open, or -1 with errno. */
int pfk__history_save(const struct pfk__master *m);
/* Closes it, and leaves implausible values out. */
void pfk__history_load(struct pfk__master *m, int fd);

#endif
