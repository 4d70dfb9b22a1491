/*
 * heap.c: random operations against a search of all nodes.
 */
#include <stdbool.h>
#include <stdlib.h>

#include "base/heap.h"
#include "tap.h"

#define NODES 500
#define STEPS 50000
#define KEYS 40 /* few, so that many are equal */

static struct item {
	struct pfk__heap_node node; /* first */
	bool in;
	uint64_t arrival;
} items[NODES];

static struct pfk__heap heap;
static uint64_t arrivals;

/* The one with the smallest key that came first. */
static struct item *
model_first(void)
{
	struct item *best = NULL;

	for (struct item *it = items; it < items + NODES; it++) {
		if (it->in &&
		    (best == NULL || it->node.key < best->node.key ||
			(it->node.key == best->node.key &&
			    it->arrival < best->arrival)))
			best = it;
	}
	return best;
}

static bool
is_sound(void)
{
	for (size_t i = 0; i < heap.len; i++) {
		if (heap.node[i]->index != i ||
		    heap.node[i]->key < heap.node[i > 0 ? (i - 1) / 2 : 0]->key)
			return false;
	}
	return true;
}

static void
toggle(struct item *it)
{
	if (it->in) {
		pfk__heap_remove(&heap, &it->node);
	} else {
		it->node.key = (uint64_t)rand() % KEYS;
		it->arrival = arrivals++;
		pfk__heap_add(&heap, &it->node);
	}
	it->in = !it->in;
}

int
main(void)
{
	int wrong = 0, unsound = 0;
	size_t left;

	srand(1);
	ok(pfk__heap_first(&heap) == NULL, "empty");
	for (int i = 0; i < STEPS; i++) {
		toggle(&items[rand() % NODES]);
		wrong += i % 10 == 0 &&
		    (struct item *)pfk__heap_first(&heap) != model_first();
		unsound += i % 10 == 0 && !is_sound();
	}
	is_int(wrong, 0, "the first is the first, %d steps", STEPS);
	is_int(unsound, 0, "the invariants hold");
	for (left = heap.len; left > 0; left--) {
		wrong += (struct item *)pfk__heap_first(&heap) != model_first();
		toggle((struct item *)pfk__heap_first(&heap));
	}
	is_int(wrong, 0, "all leave by key, those of one key as they came");
	is_int(heap.len, 0, "none is left");
	pfk__heap_clear(&heap);
	ok(heap.node == NULL && heap.size == 0, "clear");
	return done_testing();
}
