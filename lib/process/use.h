/*
 * use.h: mistakes in the use of this layer, each with one line in the log.
 */
#ifndef PFK_PROCESS_USE_H
#define PFK_PROCESS_USE_H

#include "process/worker.h"

/*
 * Before pfk_master_run, and at its end: -1 with errno where it cannot run.  The
 * workers inherit that it has begun.
 */
int pfk__use_begin(const struct pfk_master_config *config,
    const struct pfk_hooks *hooks);
void pfk__use_end(void);

/* Make times that no clock reaches so long that a sum with them does not overflow. */
void pfk__use_bound(struct pfk_master_config *config);

/* The master's loop, which hooks in the master may use; NULL: no longer. */
void pfk__use_loop(struct pfk_loop *l);

/* -1 with errno: pfk_worker_listen cannot do that. */
int pfk__use_listen(const struct pfk_worker *w, const struct pfk_listen *want,
    size_t n);

#endif
