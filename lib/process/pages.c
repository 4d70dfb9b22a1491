/*
 * pages.c: memory that the master shares with its workers, an area each.
 *
 * Layer: process.  memfd_create(2), F_SEAL_FUTURE_WRITE in fcntl(2).
 */
#include "process/pages.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define AREAS 64
#define REGION_BYTES (AREAS * PFK__AREA_BYTES)

struct pfk__region {
	SLIST_ENTRY(pfk__region) link;
	char *base;
	size_t given; /* areas given out so far, from the base on */
	size_t in_use;
	int fd; /* or -1 */
};

static bool
is_in(const struct pfk__region *r, const void *area)
{
	const char *p = area;

	return p >= r->base && p < r->base + REGION_BYTES;
}

static void *
map(int fd)
{
	return mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_NORESERVE | (fd == -1 ? MAP_ANONYMOUS : 0), fd, 0);
}

/* It is in nobody's way: a limit of file sizes (RLIMIT_FSIZE) may refuse it. */
static int
make_file(void)
{
	int fd = memfd_create("prefork", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd != -1 && ftruncate(fd, REGION_BYTES) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Ours stays writable: it is mapped already. */
static void
seal(int fd)
{
	int seals = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;

	/* A kernel before 5.1 lacks the third one. */
	if (fcntl(fd, F_ADD_SEALS, seals | F_SEAL_FUTURE_WRITE) == -1)
		fcntl(fd, F_ADD_SEALS, seals);
}

static struct pfk__region *
new_region(struct pfk__pages *pages)
{
	struct pfk__region *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->fd = make_file();
	r->base = map(r->fd);
	if (r->base == MAP_FAILED) {
		if (r->fd != -1)
			close(r->fd);
		free(r);
		return NULL;
	}
	if (r->fd != -1)
		seal(r->fd);
	SLIST_INSERT_HEAD(&pages->regions, r, link);
	return r;
}

void *
pfk__pages_get(struct pfk__pages *pages)
{
	struct pfk__region *r = SLIST_FIRST(&pages->regions);

	if (r == NULL || r->given == AREAS)
		r = new_region(pages);
	if (r == NULL)
		return NULL;
	assert(r->given < AREAS && r->in_use <= r->given);
	r->in_use++;
	return r->base + r->given++ * PFK__AREA_BYTES;
}

static struct pfk__region *
region_of(const struct pfk__pages *pages, const void *area)
{
	struct pfk__region *r;

	SLIST_FOREACH(r, &pages->regions, link) {
		if (is_in(r, area))
			break;
	}
	assert(r != NULL);
	return r;
}

void
pfk__pages_put(struct pfk__pages *pages, void *area)
{
	struct pfk__region *r = region_of(pages, area);

	assert(r->in_use > 0);
	/* A sealed file gives no memory back before its end. */
	if (--r->in_use > 0)
		return;
	SLIST_REMOVE(&pages->regions, r, pfk__region, link);
	munmap(r->base, REGION_BYTES);
	if (r->fd != -1)
		close(r->fd);
	free(r);
}

static int
unmap(char *from, const char *to)
{
	return from < to ? munmap(from, (size_t)(to - from)) : 0;
}

int
pfk__pages_keep(struct pfk__pages *pages, const void *area)
{
	struct pfk__region *r;

	SLIST_FOREACH(r, &pages->regions, link) {
		char *end = r->base + REGION_BYTES;
		char *own = is_in(r, area)
		    ? r->base + ((const char *)area - r->base)
		    : end;

		if (unmap(r->base, own) == -1 ||
		    (own < end && unmap(own + PFK__AREA_BYTES, end) == -1))
			return -1;
	}
	return 0;
}

int
pfk__pages_fd(const struct pfk__pages *pages, const void *area, off_t *offset)
{
	const struct pfk__region *r = region_of(pages, area);

	*offset = (const char *)area - r->base;
	return r->fd;
}

const void *
pfk__pages_read(int fd, off_t offset)
{
	struct stat st;
	void *area;

	errno = EINVAL;
	if (fstat(fd, &st) == -1 || offset < 0 ||
	    offset % (off_t)PFK__AREA_BYTES != 0 ||
	    offset + (off_t)PFK__AREA_BYTES > st.st_size)
		return NULL;
	area = mmap(NULL, PFK__AREA_BYTES, PROT_READ, MAP_SHARED, fd, offset);
	if (area == MAP_FAILED)
		return NULL;
	/* cppcheck-suppress memleak */
	return area;
}

void
pfk__pages_forget(const void *area)
{
	if (area != NULL)
		munmap((void *)(uintptr_t)area, PFK__AREA_BYTES);
}
