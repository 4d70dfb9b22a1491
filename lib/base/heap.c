/*
 * heap.c: a binary min-heap of nodes that their owners embed.
 *
 * Layer: base.
 */
#include "base/heap.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

static bool
before(const struct pfk__heap_node *a, const struct pfk__heap_node *b)
{
	return a->key < b->key || (a->key == b->key && a->order < b->order);
}

static void
put(struct pfk__heap *h, size_t i, struct pfk__heap_node *n)
{
	h->node[i] = n;
	n->index = i;
}

static void
sift_up(struct pfk__heap *h, size_t i)
{
	struct pfk__heap_node *n = h->node[i];

	while (i > 0 && before(n, h->node[(i - 1) / 2])) {
		put(h, i, h->node[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put(h, i, n);
}

static void
sift_down(struct pfk__heap *h, size_t i)
{
	struct pfk__heap_node *n = h->node[i];
	size_t child;

	while ((child = 2 * i + 1) < h->len) {
		if (child + 1 < h->len &&
		    before(h->node[child + 1], h->node[child]))
			child++;
		if (!before(h->node[child], n))
			break;
		put(h, i, h->node[child]);
		i = child;
	}
	put(h, i, n);
}

int
pfk__heap_add(struct pfk__heap *h, struct pfk__heap_node *n)
{
	if (h->len == h->size) {
		size_t size = h->size > 0 ? 2 * h->size : 16;
		void *node = reallocarray(h->node, size,
		    sizeof(struct pfk__heap_node *));

		if (node == NULL)
			return -1;
		h->node = node;
		h->size = size;
	}
	n->order = h->order++;
	put(h, h->len++, n);
	assert(h->len <= h->size);
	sift_up(h, n->index);
	return 0;
}

void
pfk__heap_remove(struct pfk__heap *h, struct pfk__heap_node *n)
{
	size_t i = n->index;
	struct pfk__heap_node *last;

	assert(i < h->len && h->node[i] == n);
	last = h->node[--h->len];
	if (last == n)
		return;
	put(h, i, last);
	sift_up(h, i);
	sift_down(h, last->index);
}

struct pfk__heap_node *
pfk__heap_first(const struct pfk__heap *h)
{
	assert(h->len == 0 || h->node[0]->index == 0);
	return h->len > 0 ? h->node[0] : NULL;
}

void
pfk__heap_clear(struct pfk__heap *h)
{
	free(h->node);
	*h = (struct pfk__heap){0};
}
