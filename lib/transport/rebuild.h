/*
 * rebuild.h: make a predecessor's connections anew from the ledger.
 */
#ifndef PFK_TRANSPORT_REBUILD_H
#define PFK_TRANSPORT_REBUILD_H

#include "event/loop.h"

/*
 * In a successor, once its servers exist: serve on every connection and every
 * adopted listener that the ledger tells of.  `accepted` is a connection that
 * the predecessor had accepted from `listener` and not recorded, or -1.
 * -1 with errno: nothing is touched, so that another successor may try.
 */
int pfk__rebuild_streams(struct pfk_loop *l, int accepted, int listener);

#endif
