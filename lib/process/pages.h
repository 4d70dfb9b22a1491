/*
 * pages.h: memory that the master shares with its workers, one page each.
 *
 * All pages lie in a few large mappings, because each mapping of the master
 * makes each fork slower.  A child inherits them all and unmaps all but its own
 * page at once, so that no worker can write a sibling's.
 *
 * Invariants:
 *  1. a page is given out once: a process that a dead worker left behind may
 *     still have it mapped;
 *  2. a region is mapped while it has a page in use.
 */
#ifndef PFK_PROCESS_PAGES_H
#define PFK_PROCESS_PAGES_H

#include <stddef.h>
#include <sys/queue.h>

struct pfk__region;

struct pfk__pages {
	SLIST_HEAD(, pfk__region) regions; /* new pages come from the first */
};

/* A new page of zeros, or NULL with errno. */
void *pfk__pages_get(struct pfk__pages *pages);
void pfk__pages_put(struct pfk__pages *pages, void *page);

/* In a forked child: unmap all but this page; -1 with errno. */
int pfk__pages_keep(struct pfk__pages *pages, const void *page);

#endif
