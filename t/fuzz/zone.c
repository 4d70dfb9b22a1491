/*
 * zone.c: a zone that a hostile worker has written to before it died with a lock;
 * the master frees the lock, and the items that are left can be used.
 */
#include <stdlib.h>
#include <string.h>

#include "event/zone.h"
#include "fuzz.h"

#define GENERATION 7
#define SCRIBBLED 64

static struct pfk_zone *zone;

/* Items with keys of one byte and values of many lengths. */
static void
fill(void)
{
	static char value[SCRIBBLED * PFK__BLOCK_BYTES];
	struct pfk_zone_item it = {0};

	pfk_zone_clear(zone);
	for (size_t i = 0; i < 16; i++) {
		char key = (char)('a' + i);

		pfk_zone_put(zone, &key, 1, value, i * 100, PFK_ZONE_ALWAYS,
		    &it);
	}
}

/* An offset of three bytes, a length, and bytes that are written there. */
static void
scribble(const uint8_t *data, size_t size)
{
	char *to = (char *)zone->stripes;
	size_t all = (size_t)((char *)pfk__zone_block(zone, 0, SCRIBBLED) - to);

	while (size > 4) {
		size_t at = (size_t)data[0] << 16 | (size_t)data[1] << 8 |
		    data[2];
		size_t n = data[3];

		at %= all;
		data += 4;
		size -= 4;
		n = n < size ? n : size;
		n = n < all - at ? n : all - at;
		memcpy(to + at, data, n);
		data += n;
		size -= n;
	}
}

/* Each block is free or an item's; and as many are counted. */
static void
check(void)
{
	const struct pfk__zone_stripe *s = &zone->stripes[0];
	const struct pfk__zone_run *r;
	uint32_t n = 0;

	for (uint32_t b = s->free; b != 0; b = r->next) {
		if (b > zone->n_blocks)
			abort();
		r = &pfk__zone_block(zone, 0, b)->run;
		n += r->n;
		if (r->n == 0 || n > zone->n_blocks)
			abort();
	}
	if (n != s->n_free || s->owner != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (zone == NULL)
		zone = pfk_zone_open(NULL, 1 << 20);
	if (zone == NULL)
		abort();
	fill();
	scribble(data, size);
	zone->stripes[0].owner = GENERATION + 1;
	pfk__zones_release(GENERATION);
	check();
	/* The lengths that it has written count for the workers alone. */
	memset(zone->buckets, 0, zone->n_buckets * sizeof(*zone->buckets));
	zone->stripes[0].owner = GENERATION + 1;
	pfk__zones_release(GENERATION);
	check();
	return 0;
}
