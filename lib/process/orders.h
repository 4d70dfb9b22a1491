/*
 * orders.h: the master's orders, by signals and control commands.
 */
#ifndef PFK_PROCESS_ORDERS_H
#define PFK_PROCESS_ORDERS_H

#include <stdbool.h>
#include <stdint.h>

struct pfk__master;

/* Obey signals from now on, and reap.  -1: errno. */
int pfk__orders_by_signal(struct pfk__master *m);

void pfk__orders_reload(struct pfk__master *m);

/* Want n workers, 1 to PFK_WORKERS_MAX, until the next reload. */
void pfk__orders_workers(struct pfk__master *m, int workers);

/* timeout_ns 0: however long it takes. */
void pfk__orders_stop(struct pfk__master *m, uint64_t timeout_ns);
void pfk__orders_stop_now(struct pfk__master *m);

/* Whether a stop was ordered: it has begun, or does when its delay has passed. */
bool pfk__orders_stopping(const struct pfk__master *m);

/* Open the log anew, here and in the workers.  -1: errno; the old one stays. */
int pfk__orders_reopen(struct pfk__master *m);

#endif
