/*
 * pages.c: memory that the master shares with its workers, one page each.
 *
 * Layer: process.
 */
#include "process/pages.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 1024

struct pfk__region {
	SLIST_ENTRY(pfk__region) link;
	char *base;
	size_t given; /* pages given out so far, from the base on */
	size_t in_use;
};

static size_t
page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static bool
is_in(const struct pfk__region *r, const void *page)
{
	const char *p = page;

	return p >= r->base && p < r->base + PAGES * page_bytes();
}

static struct pfk__region *
new_region(struct pfk__pages *pages)
{
	struct pfk__region *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->base = mmap(NULL, PAGES * page_bytes(), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r->base == MAP_FAILED) {
		free(r);
		return NULL;
	}
	SLIST_INSERT_HEAD(&pages->regions, r, link);
	return r;
}

void *
pfk__pages_get(struct pfk__pages *pages)
{
	struct pfk__region *r = SLIST_FIRST(&pages->regions);

	if (r == NULL || r->given == PAGES)
		r = new_region(pages);
	if (r == NULL)
		return NULL;
	r->in_use++;
	return r->base + r->given++ * page_bytes();
}

void
pfk__pages_put(struct pfk__pages *pages, void *page)
{
	struct pfk__region *r;

	SLIST_FOREACH(r, &pages->regions, link) {
		if (is_in(r, page))
			break;
	}
	assert(r != NULL && r->in_use > 0);
	if (--r->in_use > 0) {
		/* Gives its memory back; without, it lasts as the region. */
		madvise(page, page_bytes(), MADV_REMOVE);
		return;
	}
	SLIST_REMOVE(&pages->regions, r, pfk__region, link);
	munmap(r->base, PAGES * page_bytes());
	free(r);
}

static int
unmap(char *from, const char *to)
{
	return from < to ? munmap(from, (size_t)(to - from)) : 0;
}

int
pfk__pages_keep(struct pfk__pages *pages, const void *page)
{
	struct pfk__region *r;

	SLIST_FOREACH(r, &pages->regions, link) {
		char *end = r->base + PAGES * page_bytes();
		char *own = is_in(r, page)
		    ? r->base + ((const char *)page - r->base)
		    : end;

		if (unmap(r->base, own) == -1 ||
		    (own < end && unmap(own + page_bytes(), end) == -1))
			return -1;
	}
	return 0;
}
