/*
 * pages.h: memory that the master shares with its workers, an area each.
 *
 * All areas lie in a few large mappings, because each mapping of the master
 * makes each fork slower.  A child inherits them all and unmaps all but its own
 * area at once, so that no worker can write a sibling's.  Each mapping is a
 * memfd that is sealed against growing, shrinking and new writable mappings, so
 * that a process that opens it by /proc can only read it.  Where there is no
 * memfd it is anonymous memory.
 *
 * For an upgrade in place: the descriptor of pfk__pages_fd goes over exec or by
 * SCM_RIGHTS, with the offset; pfk__pages_read maps the area there, to be read.
 *
 * Invariants:
 *  1. an area is given out once: a process that a dead worker left behind may
 *     still have it mapped;
 *  2. a region is mapped while it has an area in use.
 */
#ifndef PFK_PROCESS_PAGES_H
#define PFK_PROCESS_PAGES_H

#include <sys/types.h>

#include <stddef.h>
#include <sys/queue.h>

/* Of one area; a multiple of every page size. */
#define PFK__AREA_BYTES ((size_t)64 << 10)

struct pfk__region;

struct pfk__pages {
	SLIST_HEAD(, pfk__region) regions; /* new areas come from the first */
};

/* A new area of zeros, or NULL with errno. */
void *pfk__pages_get(struct pfk__pages *pages);
void pfk__pages_put(struct pfk__pages *pages, void *area);

/* In a forked child: unmap all but this area; -1 with errno. */
int pfk__pages_keep(struct pfk__pages *pages, const void *area);

/* The memfd that the area is in, or -1, and where it begins there. */
int pfk__pages_fd(const struct pfk__pages *pages, const void *area,
    off_t *offset);

/* Map an area of another master's, to be read; NULL with errno; and unmap. */
const void *pfk__pages_read(int fd, off_t offset);
void pfk__pages_forget(const void *area);

#endif
