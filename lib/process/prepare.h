/*
 * prepare.h: the part of a reload that may take time, in a child.
 *
 * Invariants:
 *  1. there is at most one such child, and only while the reload is PREPARING;
 *  2. the child has no descriptor of the master's but the log.
 */
#ifndef PFK_PROCESS_PREPARE_H
#define PFK_PROCESS_PREPARE_H

#include <sys/types.h>

struct pfk__master;

/* pfk__reload_prepared follows, unless it is cancelled.  -1: errno. */
int pfk__prepare_start(struct pfk__master *m);
void pfk__prepare_cancel(void);

/* A child that is no worker's has been reaped. */
void pfk__prepare_reaped(pid_t pid);

#endif
