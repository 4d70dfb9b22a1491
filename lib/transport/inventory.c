/*
 * inventory.c: the chunks of a predecessor, as its successor finds them.
 *
 * Layer: transport.
 */
#include "transport/inventory.h"

#include <stdlib.h>

#include "transport/input.h"

static int
compare(const void *a, const void *b, void *arg)
{
	const struct pfk__ledger *g = arg;
	const struct pfk__item *x = a, *y = b;
	uint64_t p = g->chunks[x->chunk].pos, q = g->chunks[y->chunk].pos;

	if (x->fd != y->fd)
		return x->fd < y->fd ? -1 : 1;
	return (p > q) - (p < q);
}

bool
pfk__inventory_open(struct pfk__inventory *v, struct pfk__ledger *g)
{
	size_t top = g->head->chunks_top;

	*v = (struct pfk__inventory){.ledger = g};
	if (!pfk__chunks_have(g, 0))
		return false;
	v->items = calloc(top + 1, sizeof(*v->items));
	if (v->items == NULL)
		return false;
	for (size_t i = 0; i < top; i++) {
		const struct pfk__chunk *c = &g->chunks[i];

		if (c->fd > 0 && c->len <= PFK__CHUNK_BYTES)
			v->items[v->n++] = (struct pfk__item){c->fd - 1,
			    (int)i};
		else
			pfk__chunk_give(g, (int)i);
	}
	qsort_r(v->items, v->n, sizeof(*v->items), compare, g);
	return true;
}

void
pfk__inventory_close(struct pfk__inventory *v)
{
	for (size_t k = 0; k < v->n; k++) {
		if (v->items[k].chunk != -1)
			pfk__chunk_give(v->ledger, v->items[k].chunk);
	}
	free(v->items);
}

/* The first of the descriptor's, by binary search; or where it were. */
static size_t
first_of(const struct pfk__inventory *v, int fd)
{
	size_t low = 0, high = v->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (v->items[middle].fd < fd)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The transport's own chunk of this item, or NULL. */
static const struct pfk__chunk *
chunk_of(const struct pfk__inventory *v, const struct pfk_transport *tr,
    const struct pfk__item *item)
{
	const struct pfk__ledger *g = v->ledger;
	const struct pfk__chunk *c = item->chunk != -1 ? &g->chunks[item->chunk]
						       : NULL;

	return c != NULL && c->generation == g->records[tr->io.fd].generation
	    ? c
	    : NULL;
}

bool
pfk__inventory_output(struct pfk__inventory *v, struct pfk_transport *tr,
    uint64_t sent)
{
	struct pfk__ledger *g = v->ledger;
	const struct pfk__hand *h = &g->head->hand;
	bool spill = h->fd == tr->io.fd && h->len == PFK__HAND_SPILL;
	uint64_t end = sent;

	for (size_t k = first_of(v, tr->io.fd);
	     k < v->n && v->items[k].fd == tr->io.fd; k++) {
		struct pfk__item *item = &v->items[k];
		const struct pfk__chunk *c = chunk_of(v, tr, item);

		if (c == NULL || (c->pos & PFK__INPUT) != 0 ||
		    (c->pos + c->len <= sent && !(spill && c->len == 0)))
			continue;
		if (c->pos > end || (tr->out.len > 0 && c->pos != end))
			return false;
		end = c->pos + c->len;
		pfk__outq_adopt(&tr->out, g, item->chunk, sent,
		    (size_t)(end - sent));
		item->chunk = -1;
	}
	return true;
}

bool
pfk__inventory_has_output(const struct pfk__inventory *v,
    const struct pfk_transport *tr)
{
	for (size_t k = first_of(v, tr->io.fd);
	     k < v->n && v->items[k].fd == tr->io.fd; k++) {
		const struct pfk__chunk *c = chunk_of(v, tr, &v->items[k]);

		if (c != NULL && (c->pos & PFK__INPUT) == 0 && c->len > 0)
			return true;
	}
	return false;
}

bool
pfk__inventory_input(struct pfk__inventory *v, struct pfk_transport *tr,
    const struct pfk__version *version)
{
	uint64_t from = PFK__INPUT + version->in - version->left, end = from;
	struct pfk__outq *q = tr->extra != NULL ? &tr->extra->in.left : NULL;

	if (version->left == 0 || q == NULL)
		return version->left == 0;
	for (size_t k = first_of(v, tr->io.fd);
	     k < v->n && v->items[k].fd == tr->io.fd; k++) {
		struct pfk__item *item = &v->items[k];
		const struct pfk__chunk *c = chunk_of(v, tr, item);

		if (c == NULL || end >= PFK__INPUT + version->in ||
		    c->pos > end || c->pos + c->len <= end)
			continue;
		end = c->pos + c->len;
		pfk__outq_adopt(q, v->ledger, item->chunk, from,
		    (size_t)(end - from));
		item->chunk = -1;
	}
	if (q->len < version->left)
		return false;
	pfk__outq_cut(q, v->ledger, version->left);
	return true;
}
