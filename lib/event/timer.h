/*
 * timer.h: the loop's one-shot callbacks, timed and soon.
 */
#ifndef PFK_EVENT_TIMER_H
#define PFK_EVENT_TIMER_H

#include <stdbool.h>
#include <stdint.h>

struct pfk_loop;

/* The next deadline; false when there is none. */
bool pfk__timers_next(const struct pfk_loop *l, uint64_t *deadline);

/* Call all that are due at the turn's time. */
void pfk__timers_run(struct pfk_loop *l);

void pfk__timers_free(struct pfk_loop *l);

/* Release callbacks that are still queued. */
void pfk__soon_free(struct pfk_loop *l);

#endif
