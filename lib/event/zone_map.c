/*
 * zone_map.c: the memory of zones, the end of processes that had locks, and the calls
 * on all items.
 *
 * Layer: event.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/misuse.h"
#include "event/zone.h"

#define MAGIC UINT64_C(0x34656e6f7a6b6670)
#define BYTES_MIN ((size_t)1 << 20)
#define STRIPE_BYTES ((size_t)4 << 20)
#define STRIPES_MAX 64
/* Of a stamp, for the workers of one generation; above them is the generation. */
#define STAMP_BITS 20
/* No child has such a generation: a process that is no worker. */
#define NO_CHILD (UINT64_C(1) << 63)

struct pfk__zone_list pfk__zones = SLIST_HEAD_INITIALIZER(pfk__zones);

/* Its tables, by the numbers of plan. */
static void
lay_out(struct pfk_zone *z, void *map, const struct pfk__zone_head *h)
{
	z->head = map;
	z->seed = z->head->seed;
	z->n_stripes = h->stripes;
	z->n_buckets = h->buckets;
	z->n_blocks = h->blocks;
	z->stripes = (struct pfk__zone_stripe *)(void *)((char *)map + 4096);
	z->seats = (uint64_t *)(void *)(z->stripes + STRIPES_MAX);
	z->pids = z->seats + PFK__SEATS;
	z->buckets = (uint32_t *)(void *)(z->pids + PFK__SEATS);
	z->blocks = (char *)(z->buckets + (size_t)z->n_stripes * z->n_buckets);
}

static void
plan(struct pfk__zone_head *h, size_t bytes)
{
	size_t stripes = bytes / STRIPE_BYTES, share;

	stripes = stripes < 1       ? 1
	    : stripes > STRIPES_MAX ? STRIPES_MAX
				    : stripes;
	share = (bytes - 4096 - STRIPES_MAX * sizeof(struct pfk__zone_stripe) -
		    2 * PFK__SEATS * sizeof(uint64_t)) /
	    stripes;
	*h = (struct pfk__zone_head){.magic = MAGIC,
	    .bytes = bytes,
	    .stripes = (uint32_t)stripes,
	    .blocks = (uint32_t)(share / (PFK__BLOCK_BYTES + 2 + 1))};
	/* So many that the blocks behind them are aligned. */
	h->buckets = (h->blocks / 2 + 16) & ~UINT32_C(15);
	arc4random_buf(&h->seed, sizeof(h->seed));
}

/* Nobody else has it: no lock counts. */
static void
reset(struct pfk_zone *z)
{
	for (uint32_t i = 0; i < z->n_stripes; i++) {
		pfk__stripe_repair(z, i);
		z->stripes[i].owner = 0;
	}
	memset(z->seats, 0, 2 * PFK__SEATS * sizeof(*z->seats));
	z->head->ready = 1;
}

static int
open_file(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) ||
	    st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
		close(fd);
		errno = EPERM;
		return -1;
	}
	return fd;
}

/* Whether the file holds a zone of that size. */
static bool
holds(int fd, size_t bytes)
{
	struct pfk__zone_head h, should;
	struct stat st;

	plan(&should, bytes);
	return fstat(fd, &st) == 0 && (size_t)st.st_size == bytes &&
	    pread(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h) &&
	    h.magic == MAGIC && h.bytes == bytes && h.ready == 1 &&
	    h.stripes == should.stripes && h.buckets == should.buckets &&
	    h.blocks == should.blocks;
}

/* Make it as large, and all zero unless it is a zone already. */
static int
fill_file(int fd, size_t bytes)
{
	int error;

	if (holds(fd, bytes))
		return 0;
	if (ftruncate(fd, 0) == -1)
		return -1;
	error = posix_fallocate(fd, 0, (off_t)bytes);
	/* A part of it is no use. */
	if (error != 0 && ftruncate(fd, 0) == 0)
		errno = error;
	return error == 0 ? 0 : -1;
}

/*
 * A descriptor of the same file for its lock, which the workers have, too.  It cannot be
 * written, or a hostile worker could truncate the file and end the master by SIGBUS.
 */
static int
open_lock(const char *path, int fd)
{
	int lock = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st, same;

	if (lock == -1)
		return -1;
	if (fstat(fd, &st) == 0 && fstat(lock, &same) == 0 &&
	    st.st_dev == same.st_dev && st.st_ino == same.st_ino)
		return lock;
	close(lock);
	errno = EEXIST;
	return -1;
}

/* The lock tells whether any process uses the file. */
static int
take_file(int fd, int lock, size_t bytes, bool *alone)
{
	*alone = flock(lock, LOCK_EX | LOCK_NB) == 0;
	if (*alone)
		return fill_file(fd, bytes);
	if (flock(lock, LOCK_SH) == -1)
		return -1;
	errno = EEXIST;
	return holds(fd, bytes) ? 0 : -1;
}

/* fd -1: no file.  lock is its lock's descriptor, for as long as any process lives. */
static int
open_map(struct pfk_zone *z, int fd, int lock, size_t bytes)
{
	struct pfk__zone_head should;
	bool alone = true;
	void *map;

	if (fd != -1 && take_file(fd, lock, bytes, &alone) == -1)
		return -1;
	/* A file has all of its memory by now. */
	map = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    fd != -1 ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE,
	    fd, 0);
	if (map == MAP_FAILED)
		return -1;
	madvise(map, bytes, MADV_DONTDUMP);
	plan(&should, bytes);
	if (((struct pfk__zone_head *)map)->ready == 0)
		*(struct pfk__zone_head *)map = should;
	lay_out(z, map, &should);
	if (alone)
		reset(z);
	return 0;
}

static int
open_at(struct pfk_zone *z, const char *path, size_t bytes)
{
	int fd, lock, rc;

	if (path == NULL)
		return open_map(z, -1, -1, bytes);
	fd = open_file(path);
	if (fd == -1)
		return -1;
	lock = open_lock(path, fd);
	rc = lock != -1 ? open_map(z, fd, lock, bytes) : -1;
	close(fd);
	if (rc == 0) {
		flock(lock, LOCK_SH);
		return pfk_keep_fd(lock, true);
	}
	if (lock != -1)
		close(lock);
	return -1;
}

struct pfk_zone *
pfk_zone_open(const char *path, size_t bytes)
{
	struct pfk_zone *z;

	if (bytes < BYTES_MIN) {
		pfk__misuse(EINVAL, "pfk_zone_open: a zone has 1 MiB at least");
		return NULL;
	}
	z = calloc(1, sizeof(*z));
	if (z == NULL || open_at(z, path, bytes) == -1) {
		free(z);
		return NULL;
	}
	if (!SLIST_EMPTY(&pfk__zones))
		z->number = SLIST_FIRST(&pfk__zones)->number + 1;
	z->owner = NO_CHILD + (uint64_t)getpid();
	SLIST_INSERT_HEAD(&pfk__zones, z, link);
	return z;
}

/* The seat of the generation's last worker, with another stamp, or a free one. */
static void
sit(struct pfk_zone *z, uint64_t generation)
{
	z->seat = 0;
	z->stamp = (generation + 1) << STAMP_BITS;
	for (uint32_t i = 0; i < PFK__SEATS && z->seat == 0; i++) {
		uint64_t old = __atomic_load_n(&z->seats[i], __ATOMIC_RELAXED);

		if (old >> STAMP_BITS != generation + 1)
			continue;
		z->seat = i + 1;
		z->stamp += (old + 1) & ((UINT64_C(1) << STAMP_BITS) - 1);
		__atomic_store_n(&z->seats[i], z->stamp, __ATOMIC_RELEASE);
	}
	for (uint32_t i = 0; i < PFK__SEATS && z->seat == 0; i++) {
		uint64_t none = 0;

		if (__atomic_compare_exchange_n(&z->seats[i], &none, z->stamp,
			false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			z->seat = i + 1;
	}
	if (z->seat != 0)
		__atomic_store_n(&z->pids[z->seat - 1],
		    (uint64_t)getppid() << 32 | (uint32_t)getpid(),
		    __ATOMIC_RELEASE);
}

/* Also in a sandbox, which allows this call with any pid. */
static bool
is_dead(uint64_t pid)
{
	cpu_set_t set;

	return sched_getaffinity((pid_t)(uint32_t)pid, sizeof(set), &set) ==
	    -1 &&
	    errno == ESRCH;
}

bool
pfk__zone_owner_dead(const struct pfk_zone *z, uint64_t owner)
{
	for (uint32_t i = 0; i < PFK__SEATS; i++) {
		uint64_t pids = __atomic_load_n(&z->pids[i], __ATOMIC_ACQUIRE);

		if (__atomic_load_n(&z->seats[i], __ATOMIC_ACQUIRE) >>
			    STAMP_BITS ==
			owner &&
		    pids != 0)
			return is_dead(pids) && is_dead(pids >> 32);
	}
	return false;
}

static void
stand_up(struct pfk_zone *z, uint64_t generation)
{
	for (uint32_t i = 0; i < PFK__SEATS; i++) {
		uint64_t stamp = __atomic_load_n(&z->seats[i],
		    __ATOMIC_RELAXED);

		if (stamp >> STAMP_BITS != generation + 1)
			continue;
		/* The next one who sits there is not taken for dead. */
		__atomic_store_n(&z->pids[i], 0, __ATOMIC_RELEASE);
		__atomic_store_n(&z->seats[i], 0, __ATOMIC_RELEASE);
	}
}

void
pfk__zones_enter(struct pfk_loop *l, uint64_t generation)
{
	struct pfk_zone *z;

	SLIST_FOREACH(z, &pfk__zones, link) {
		z->loop = l;
		z->owner = generation + 1;
		sit(z, generation);
		for (uint32_t i = 0; i < z->n_stripes; i++) {
			if (z->stripes[i].owner != z->owner)
				continue;
			pfk__deed_find(z, i);
			pfk__stripe_repair(z, i);
			pfk__stripe_unlock(z, i);
		}
	}
	if (!SLIST_EMPTY(&pfk__zones))
		pfk__deeds_enter(l);
}

/* A worker that waits may take it at the same time: zone_store.c. */
static void
give_back(struct pfk_zone *z, uint32_t stripe, uint64_t owner)
{
	uint64_t *at = &z->stripes[stripe].owner;
	uint64_t was = __atomic_load_n(at, __ATOMIC_RELAXED);

	if ((was & ~PFK__GIVEN_BACK) != owner ||
	    !__atomic_compare_exchange_n(at, &was, owner | PFK__GIVEN_BACK,
		false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	pfk__stripe_repair(z, stripe);
	pfk__stripe_unlock(z, stripe);
}

void
pfk__zones_release(uint64_t generation)
{
	struct pfk_zone *z;

	SLIST_FOREACH(z, &pfk__zones, link) {
		stand_up(z, generation);
		for (uint32_t i = 0; i < z->n_stripes; i++)
			give_back(z, i, generation + 1);
	}
}

/* calls on all items */

bool
pfk__zone_is_shown(const struct pfk_zone *z)
{
	if (z->shown)
		pfk__misuse(EDEADLK,
		    "a zone is called from a callback of pfk_zone_show");
	return z->shown;
}

void
pfk_zone_clear(struct pfk_zone *z)
{
	if (pfk__zone_is_shown(z))
		return;
	for (uint32_t i = 0; i < z->n_stripes; i++) {
		pfk__stripe_lock(z, i);
		memset(z->buckets + (size_t)i * z->n_buckets, 0,
		    z->n_buckets * sizeof(*z->buckets));
		pfk__stripe_repair(z, i);
		pfk__stripe_unlock(z, i);
	}
}

void
pfk_zone_stats(struct pfk_zone *z, struct pfk_zone_stats *s)
{
	*s = (struct pfk_zone_stats){0};
	for (uint32_t i = 0; i < z->n_stripes; i++) {
		s->items += z->stripes[i].items;
		s->evicted += z->stripes[i].evicted;
		s->bytes += (uint64_t)z->n_blocks * PFK__BLOCK_BYTES;
		s->free_bytes += (uint64_t)z->stripes[i].n_free *
		    PFK__BLOCK_BYTES;
	}
}
