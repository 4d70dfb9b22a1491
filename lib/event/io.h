/*
 * io.h: when the back-end is told of the descriptors, and told again.
 */
#ifndef PFK_EVENT_IO_H
#define PFK_EVENT_IO_H

#include <prefork.h>

/* The time after which a refused registration is tried again. */
#define PFK__IO_RETRY_NS (100 * PFK_MSEC_NS)

/* Register the changes of interest with the back-end. */
void pfk__io_arm(struct pfk_loop *l);
/*
 * The same before the first turn: -1 where it refuses one for want of memory
 * or watches; *cause says so, with the cure, until the next call.
 */
int pfk__io_arm_first(struct pfk_loop *l, const char **cause);
/* Begin with a new back-end instance. */
void pfk__io_watch_anew(struct pfk_loop *l);

#endif
