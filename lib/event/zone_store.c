/*
 * zone_store.c: the stripes of a zone, their locks, and the blocks of their items.
 *
 * Layer: event.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "event/ledger.h"
#include "event/loop.h"
#include "event/zone.h"

#define SPINS 200
#define WAIT_NS 50000
#define ROOM (PFK__BLOCK_BYTES - sizeof(uint32_t)) /* of a chain's block */
#define FIRST_ROOM (PFK__BLOCK_BYTES - sizeof(struct pfk__zone_item))

/* A point at which a test may kill this process. */
static void
point(const struct pfk_zone *z)
{
	if (z->loop != NULL)
		pfk__point(z->loop->ledger);
	pfk__in_order();
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

static uint32_t
blocks_for(size_t bytes)
{
	return bytes <= FIRST_ROOM
	    ? 1
	    : 1 + (uint32_t)((bytes - FIRST_ROOM + ROOM - 1) / ROOM);
}

/* Its blocks are a list already: a walk would fetch each from memory. */
void
pfk__zone_free(struct pfk_zone *z, uint32_t stripe, uint32_t item)
{
	struct pfk__zone_stripe *s = &z->stripes[stripe];
	const struct pfk__zone_item *it;

	if (item == 0)
		return;
	it = pfk__zone_block(z, stripe, item);
	pfk__zone_block(z, stripe, it->last)->next = s->free;
	point(z);
	s->free = item;
	s->n_free += blocks_for((size_t)it->key_len + it->len);
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

static void
write_bytes(struct pfk_zone *z, uint32_t stripe, uint32_t item, size_t at,
    const char *from, size_t len)
{
	struct pfk__zone_item *b = pfk__zone_block(z, stripe, item);
	char *to = (char *)(b + 1);
	size_t room = FIRST_ROOM;

	while (len > 0) {
		size_t n;

		if (at >= room) {
			at -= room;
		} else {
			n = len < room - at ? len : room - at;
			memcpy(to + at, from, n);
			from += n;
			len -= n;
			at = 0;
		}
		if (len == 0)
			return;
		b = pfk__zone_block(z, stripe, b->next);
		to = (char *)b + sizeof(uint32_t);
		room = ROOM;
	}
}

void
pfk__zone_copy(const struct pfk_zone *z, uint32_t stripe, uint32_t item,
    size_t at, void *dst, size_t len)
{
	const struct pfk__zone_item *b = pfk__zone_block(z, stripe, item);
	const char *from = (const char *)(b + 1);
	char *to = dst;
	size_t room = FIRST_ROOM;

	while (len > 0) {
		if (at < room) {
			size_t n = len < room - at ? len : room - at;

			memcpy(to, from + at, n);
			to += n;
			len -= n;
			at = 0;
		} else {
			at -= room;
		}
		if (len == 0)
			return;
		b = pfk__zone_block(z, stripe, b->next);
		from = (const char *)b + sizeof(uint32_t);
		room = ROOM;
	}
}

/* Take n free blocks, 1 at least, as a chain; 0: there are not so many. */
static uint32_t
take(struct pfk_zone *z, uint32_t stripe, uint32_t n, uint32_t *last)
{
	struct pfk__zone_stripe *s = &z->stripes[stripe];
	struct pfk__zone_item *b;
	uint32_t first;

	for (uint32_t i = 0; s->n_free < n; i++) {
		if (i >= 2 * z->n_buckets)
			return 0;
		evict(z, stripe);
	}
	first = *last = s->free;
	b = pfk__zone_block(z, stripe, first);
	s->n_free -= n;
	while (--n > 0) {
		*last = b->next;
		b = pfk__zone_block(z, stripe, *last);
	}
	s->free = b->next;
	point(z);
	b->next = 0;
	point(z);
	return first;
}

uint32_t
pfk__zone_make(struct pfk_zone *z, uint32_t stripe, const void *key,
    size_t key_len, const void *value, size_t len)
{
	uint32_t n = blocks_for(key_len + len), item, last;
	struct pfk__zone_item *it;

	item = n <= z->n_blocks ? take(z, stripe, n, &last) : 0;
	if (item == 0)
		return 0;
	it = pfk__zone_block(z, stripe, item);
	*it = (struct pfk__zone_item){.next = it->next,
	    .key_len = (uint32_t)key_len,
	    .len = (uint32_t)len,
	    .last = last};
	write_bytes(z, stripe, item, 0, key, key_len);
	write_bytes(z, stripe, item, key_len, value, len);
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
	for (uint32_t b = item; b != 0;
	     b = number_at(&pfk__zone_block(z, stripe, b)->next)) {
		if (b > z->n_blocks || used[b] != 0)
			return false;
		used[b] = 1;
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
	uint32_t first = 0, n = 0;

	s->items = s->n_free = s->free = 0;
	/* Without memory its free blocks are lost, until the next repair. */
	if (used == NULL)
		return;
	for (uint32_t k = 0; k < z->n_buckets; k++)
		mark_bucket(z, stripe, used, &buckets[k]);
	/* In the order of the memory, which is read ahead. */
	for (uint32_t b = z->n_blocks; b > 0; b--) {
		if (used[b] != 0)
			continue;
		pfk__zone_block(z, stripe, b)->next = first;
		first = b;
		n++;
	}
	s->free = first;
	s->n_free = n;
	free(used);
}
