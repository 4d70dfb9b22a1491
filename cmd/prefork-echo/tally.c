/*
 * tally.c: how often a key has come within a second, in bounded memory.
 */
#include "tally.h"

#define SECOND_MS 1000

struct tally_slot *
tally_count(struct tally *t, uint64_t key, uint64_t now_ns, uint32_t calm)
{
	struct tally_slot *s = &t->slots[key % TALLY_SLOTS];
	uint32_t tag = (uint32_t)(key >> 32);
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
