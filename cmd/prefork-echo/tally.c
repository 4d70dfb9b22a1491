/*
 * tally.c: how often a key has come within a second, in bounded memory.
 */
#include "tally.h"

#define SECOND_MS 1000

/* The key's slot, or the one that came least often. */
static struct tally_slot *
find(struct tally_slot *set, uint32_t tag)
{
	struct tally_slot *least = set;

	for (unsigned i = 0; i < TALLY_WAYS; i++) {
		if (set[i].tag == tag)
			return &set[i];
		if (set[i].n < least->n)
			least = &set[i];
	}
	return least;
}

struct tally_slot *
tally_count(struct tally *t, uint64_t key, uint64_t now_ns, uint32_t calm)
{
	uint32_t tag = (uint32_t)(key >> 32);
	struct tally_slot *s = find(t->sets[key % TALLY_SETS], tag);
	uint32_t now_ms = (uint32_t)(now_ns / PFK_MSEC_NS);
	uint32_t age_ms = now_ms - s->since_ms;

	if (s->tag != tag) {
		/* A key that pauses for a second is not busy any more. */
		if (s->n > 1 && age_ms < 2 * SECOND_MS) {
			s->n--;
			return NULL;
		}
		*s = (struct tally_slot){.tag = tag, .since_ms = now_ms};
	} else if (age_ms >= SECOND_MS) {
		if (s->n <= calm || age_ms >= 2 * SECOND_MS)
			s->gap = s->left = 0;
		s->n = 0;
		s->since_ms = now_ms;
	}
	s->n++;
	return s;
}
