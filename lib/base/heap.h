/*
 * heap.h: a binary min-heap of nodes that their owners embed.
 *
 * Invariants:
 *  1. node[i]->key >= node[(i - 1) / 2]->key;
 *  2. node[i]->index == i, so that removal needs no search;
 *  3. nodes of one key leave in the order in which they came.
 */
#ifndef PFK_BASE_HEAP_H
#define PFK_BASE_HEAP_H

#include <stddef.h>
#include <stdint.h>

struct pfk__heap_node {
	uint64_t key;
	uint64_t order;
	size_t index;
};

struct pfk__heap {
	struct pfk__heap_node **node;
	size_t len;
	size_t size;
	uint64_t order;
};

/* -1 with ENOMEM.  The node stays the caller's. */
int pfk__heap_add(struct pfk__heap *h, struct pfk__heap_node *n);
void pfk__heap_remove(struct pfk__heap *h, struct pfk__heap_node *n);
/* The node with the smallest key, or NULL. */
struct pfk__heap_node *pfk__heap_first(const struct pfk__heap *h);
void pfk__heap_clear(struct pfk__heap *h);

#endif
