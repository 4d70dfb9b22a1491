/*
 * zone_store.c: the stripes of a zone, their locks, and the blocks of their items.
 *
 * Layer: event.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <time.h>

#include "event/ledger.h"
#include "event/loop.h"
#include "event/zone.h"

#define SPINS 200
#define WAIT_NS 50000
/* A second or so: nobody has a lock for as long, but a stopped worker. */
#define WAITS_MANY 10000
/* Of a run: of an item's first one, and of the others. */
#define FIRST_HEAD sizeof(struct pfk__zone_item)
#define HEAD sizeof(struct pfk__zone_run)

/* A point at which a test may kill this process. */
static void
point(const struct pfk_zone *z)
{
	if (z->loop != NULL)
		pfk__point(z->loop->ledger);
	pfk__in_order();
}

/*
 * Take the lock from a worker that is dead, if nobody is left to give it back; the
 * stripe is as that worker has left it.
 */
static bool
inherit(struct pfk_zone *z, uint32_t stripe)
{
	uint64_t *owner = &z->stripes[stripe].owner;
	uint64_t was = __atomic_load_n(owner, __ATOMIC_RELAXED);

	if (was == 0 || !pfk__zone_owner_dead(z, was) ||
	    !__atomic_compare_exchange_n(owner, &was, z->owner, false,
		__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return false;
	pfk__stripe_repair(z, stripe);
	return true;
}

void
pfk__stripe_lock(struct pfk_zone *z, uint32_t stripe)
{
	struct timespec wait = {.tv_nsec = WAIT_NS};
	uint64_t *owner = &z->stripes[stripe].owner;

	for (unsigned i = 0;; i++) {
		uint64_t none = 0;

		if (__atomic_compare_exchange_n(owner, &none, z->owner, false,
			__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			break;
		if (i >= SPINS)
			nanosleep(&wait, NULL);
		if (i % WAITS_MANY == WAITS_MANY - 1 && inherit(z, stripe))
			break;
	}
	point(z);
}

void
pfk__stripe_unlock(struct pfk_zone *z, uint32_t stripe)
{
	point(z);
	__atomic_store_n(&z->stripes[stripe].owner, 0, __ATOMIC_RELEASE);
	point(z);
}

uint32_t *
pfk__zone_bucket(const struct pfk_zone *z, uint32_t stripe, uint64_t hash)
{
	return z->buckets + (size_t)stripe * z->n_buckets +
	    (hash >> 16) % z->n_buckets;
}

/* blocks */

static struct pfk__zone_run *
run_at(const struct pfk_zone *z, uint32_t stripe, uint32_t i)
{
	return &pfk__zone_block(z, stripe, i)->run;
}

/* The number of blocks in a row that hold the head and the bytes. */
static uint32_t
blocks_for(size_t head, size_t bytes)
{
	return (
	    uint32_t)((head + bytes + PFK__BLOCK_BYTES - 1) / PFK__BLOCK_BYTES);
}

/* If each run has one block. */
static size_t
blocks_at_most(size_t bytes)
{
	size_t first = PFK__BLOCK_BYTES - FIRST_HEAD;
	size_t room = PFK__BLOCK_BYTES - HEAD;

	return bytes <= first ? 1 : 1 + (bytes - first + room - 1) / room;
}

/* Whether a stripe can hold the item; len is any number of the program's. */
static bool
can_hold(const struct pfk_zone *z, size_t key_len, size_t len)
{
	return len <= UINT32_MAX &&
	    blocks_at_most(key_len + len) <= z->n_blocks;
}

/* Its runs are a list already: a walk would fetch each from memory. */
void
pfk__zone_free(struct pfk_zone *z, uint32_t stripe, uint32_t item)
{
	struct pfk__zone_stripe *s = &z->stripes[stripe];
	const struct pfk__zone_item *it;

	if (item == 0)
		return;
	it = pfk__zone_block(z, stripe, item);
	run_at(z, stripe, it->last)->next = s->free;
	point(z);
	s->free = item;
	s->n_free += it->blocks;
}

void
pfk__zone_unlink(struct pfk_zone *z, uint32_t stripe, uint32_t *at)
{
	uint32_t item = *at;

	point(z);
	*at = pfk__zone_block(z, stripe, item)->link;
	point(z);
	z->stripes[stripe].items--;
	pfk__zone_free(z, stripe, item);
}

/* Evict the unused and the expired items of one bucket, as a clock does. */
static void
evict(struct pfk_zone *z, uint32_t stripe)
{
	struct pfk__zone_stripe *s = &z->stripes[stripe];
	uint32_t hand = s->hand % z->n_buckets;
	uint32_t *at = z->buckets + (size_t)stripe * z->n_buckets + hand;

	s->hand = hand + 1;
	while (*at != 0) {
		struct pfk__zone_item *it = pfk__zone_block(z, stripe, *at);

		if (it->used != 0 &&
		    (it->deadline_ns == 0 ||
			it->deadline_ns > pfk__clock_now())) {
			it->used = 0;
			at = &it->link;
			continue;
		}
		s->evicted++;
		pfk__zone_unlink(z, stripe, at);
	}
}

/* Copy from the item to buf, or from buf into the item. */
static void
copy(const struct pfk_zone *z, uint32_t stripe, uint32_t item, size_t at,
    char *buf, size_t len, bool in)
{
	struct pfk__zone_run *r = run_at(z, stripe, item);
	size_t head = FIRST_HEAD;

	while (len > 0) {
		size_t room = r->n * (size_t)PFK__BLOCK_BYTES - head;
		size_t n = at < room ? MIN(len, room - at) : 0;
		char *bytes = (char *)r + head + (n > 0 ? at : 0);

		memcpy(in ? bytes : buf, in ? buf : bytes, n);
		buf += n;
		len -= n;
		at -= MIN(at, room);
		if (len > 0)
			r = run_at(z, stripe, r->next);
		head = HEAD;
	}
}

void
pfk__zone_copy(const struct pfk_zone *z, uint32_t stripe, uint32_t item,
    size_t at, void *dst, size_t len)
{
	copy(z, stripe, item, at, dst, len, false);
}

int
pfk__zone_vectors(const struct pfk_zone *z, uint32_t stripe, uint32_t item,
    struct iovec *iov)
{
	const struct pfk__zone_item *it = pfk__zone_block(z, stripe, item);
	const struct pfk__zone_run *r = &it->run;
	size_t skip = FIRST_HEAD + it->key_len, len = it->len;
	int n = 0;

	while (len > 0) {
		size_t bytes = r->n * (size_t)PFK__BLOCK_BYTES;

		if (skip < bytes) {
			iov[n].iov_base = (char *)(uintptr_t)r + skip;
			iov[n].iov_len = MIN(len, bytes - skip);
			len -= iov[n++].iov_len;
			skip = 0;
		} else {
			skip -= bytes;
		}
		if (len > 0)
			r = run_at(z, stripe, r->next);
		skip += HEAD;
	}
	return n;
}

/* Make the run n blocks long, if it can be, from those that follow it. */
static void
fit(const struct pfk_zone *z, uint32_t stripe, uint32_t i, uint32_t n)
{
	struct pfk__zone_run *r = run_at(z, stripe, i), *rest;

	while (r->n < n && r->next == i + r->n) {
		rest = run_at(z, stripe, r->next);
		r->n += rest->n;
		r->next = rest->next;
	}
	if (r->n <= n)
		return;
	rest = run_at(z, stripe, i + n);
	*rest = (struct pfk__zone_run){r->next, r->n - n};
	*r = (struct pfk__zone_run){i + n, n};
}

/* Take free runs that hold the bytes, as a chain; 0: there is no room. */
static uint32_t
take(struct pfk_zone *z, uint32_t stripe, size_t bytes)
{
	struct pfk__zone_stripe *s = &z->stripes[stripe];
	uint32_t first, last, blocks = 0, runs = 1;
	struct pfk__zone_item *it;
	size_t head = FIRST_HEAD, rest = bytes;
	struct pfk__zone_run *r;

	for (uint32_t i = 0; s->n_free < blocks_at_most(bytes); i++) {
		if (i >= 2 * z->n_buckets)
			return 0;
		evict(z, stripe);
	}
	for (first = last = s->free;; last = r->next, runs++) {
		size_t room;

		fit(z, stripe, last, blocks_for(head, rest));
		r = run_at(z, stripe, last);
		room = r->n * (size_t)PFK__BLOCK_BYTES - head;
		blocks += r->n;
		if (rest <= room)
			break;
		rest -= room;
		head = HEAD;
	}
	s->n_free -= blocks;
	s->free = r->next;
	point(z);
	r->next = 0;
	it = pfk__zone_block(z, stripe, first);
	*it = (struct pfk__zone_item){.run = it->run,
	    .last = last,
	    .blocks = blocks,
	    .runs = runs};
	point(z);
	return first;
}

uint32_t
pfk__zone_make(struct pfk_zone *z, uint32_t stripe, const void *key,
    size_t key_len, const void *value, size_t len)
{
	uint32_t item = 0;
	struct pfk__zone_item *it;

	if (can_hold(z, key_len, len))
		item = take(z, stripe, key_len + len);
	if (item == 0)
		return 0;
	it = pfk__zone_block(z, stripe, item);
	it->key_len = (uint32_t)key_len;
	it->len = (uint32_t)len;
	copy(z, stripe, item, 0, (char *)(uintptr_t)key, key_len, true);
	copy(z, stripe, item, key_len, (char *)(uintptr_t)value, len, true);
	return item;
}

/* repair */

/* Read once: a hostile worker may change it meanwhile. */
static uint32_t
number_at(const uint32_t *at)
{
	return __atomic_load_n(at, __ATOMIC_RELAXED);
}

/* Mark the item's blocks.  False: its chain leads out of the zone or round. */
static bool
mark(const struct pfk_zone *z, uint32_t stripe, char *used, uint32_t item)
{
	const struct pfk__zone_run *r;

	for (uint32_t i = item; i != 0; i = number_at(&r->next)) {
		uint32_t n;

		if (i > z->n_blocks)
			return false;
		r = run_at(z, stripe, i);
		n = number_at(&r->n);
		if (n == 0 || n > z->n_blocks - i + 1 ||
		    memchr(used + i, 1, n) != NULL)
			return false;
		memset(used + i, 1, n);
	}
	return true;
}

/* Mark all items of a bucket, and cut it before one that cannot be right. */
static void
mark_bucket(const struct pfk_zone *z, uint32_t stripe, char *used, uint32_t *at)
{
	uint32_t item;

	while ((item = number_at(at)) != 0) {
		if (!mark(z, stripe, used, item)) {
			*at = 0;
			return;
		}
		z->stripes[stripe].items++;
		at = &pfk__zone_block(z, stripe, item)->link;
	}
}

bool
pfk__stripe_has(const struct pfk_zone *z, uint32_t stripe, uint32_t item)
{
	uint32_t i = 0;

	if (item > 0 && item <= z->n_blocks)
		i = *pfk__zone_bucket(z, stripe,
		    pfk__zone_block(z, stripe, item)->hash);
	while (i != 0 && i != item)
		i = pfk__zone_block(z, stripe, i)->link;
	return i != 0;
}

/* The master calls it, too, so that it believes nothing that it reads. */
void
pfk__stripe_repair(struct pfk_zone *z, uint32_t stripe)
{
	struct pfk__zone_stripe *s = &z->stripes[stripe];
	uint32_t *buckets = z->buckets + (size_t)stripe * z->n_buckets;
	char *used = calloc(z->n_blocks + 1, 1);
	uint32_t first = 0, n = 0, run = 0;

	s->items = s->n_free = s->free = 0;
	/* Without memory its free blocks are lost, until the next repair. */
	if (used == NULL)
		return;
	for (uint32_t k = 0; k < z->n_buckets; k++)
		mark_bucket(z, stripe, used, &buckets[k]);
	/* In the order of the memory, which is read ahead. */
	for (uint32_t b = z->n_blocks; b > 0; b--) {
		run = used[b] == 0 ? run + 1 : 0;
		if (run == 0 || (b > 1 && used[b - 1] == 0))
			continue;
		*run_at(z, stripe, b) = (struct pfk__zone_run){first, run};
		first = b;
		n += run;
	}
	s->free = first;
	s->n_free = n;
	free(used);
}
