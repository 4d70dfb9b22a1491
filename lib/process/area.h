/*
 * area.h: the data that one child shares with the master, in its area of
 * pages.h.
 *
 * The worker alone writes counters and events, its keeper only while there is
 * no worker.  A worker may be hostile: the master takes numbers from here, and
 * checks each one that it uses as an index.  36 KiB of the area are in use, of
 * which those of the ring take memory as it fills.
 */
#ifndef PFK_PROCESS_AREA_H
#define PFK_PROCESS_AREA_H

#include <assert.h>

#include "event/recorder.h"
#include "event/stats.h"
#include "process/keeper.h"
#include "process/pages.h"

struct pfk__area {
	struct pfk__page page; /* first: pages.h hands it out */
	_Alignas(4096) struct pfk__stats stats;
	_Alignas(4096) struct pfk__recorder recorder;
};

static_assert(sizeof(struct pfk__area) <= PFK__AREA_BYTES, "no room");

static inline struct pfk__area *
pfk__area_of(struct pfk__page *page)
{
	return (struct pfk__area *)(void *)page;
}

#endif
