/*
 * outq.c: the unsent bytes of one connection, in chunks of the ledger.
 *
 * Layer: transport.  A chunk's bytes count from the store of its length on, so
 * that a successor finds whole bytes only.
 */
#include "transport/outq.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define NONE (-1)

void
pfk__outq_init(struct pfk__outq *q)
{
	*q = (struct pfk__outq){.first = NONE, .last = NONE};
}

static size_t
min(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Write into the last chunk; returns how much of buf had room there. */
static size_t
fill_last(struct pfk__outq *q, struct pfk__ledger *g, const char *buf,
    size_t len)
{
	struct pfk__chunk *c = &g->chunks[q->last];
	size_t n = min(len, PFK__CHUNK_BYTES - c->len);

	memcpy(pfk__chunk_data(g, q->last) + c->len, buf, n);
	pfk__in_order();
	c->len += (uint32_t)n;
	q->len += n;
	return n;
}

/* The last chunk goes on where the queue ends, and has room. */
static bool
can_fill_last(const struct pfk__outq *q, const struct pfk__ledger *g)
{
	const struct pfk__chunk *c = q->last != NONE ? &g->chunks[q->last]
						     : NULL;

	return c != NULL && c->len < PFK__CHUNK_BYTES &&
	    c->pos + c->len == q->pos + q->len;
}

static void
link_chunk(struct pfk__outq *q, struct pfk__ledger *g, int i)
{
	g->next[i] = NONE;
	if (q->last != NONE)
		g->next[q->last] = i;
	else
		q->first = i;
	q->last = i;
}

static void
add_chunk(struct pfk__outq *q, struct pfk__ledger *g, int fd)
{
	int i = pfk__chunk_take(g);
	struct pfk__chunk *c = &g->chunks[i];
	const struct pfk__record *r = pfk__record(g, fd);

	c->generation = r != NULL ? r->generation : 0;
	c->pos = q->pos + q->len;
	c->len = 0;
	pfk__in_order();
	c->fd = fd + 1;
	link_chunk(q, g, i);
}

void
pfk__outq_adopt(struct pfk__outq *q, struct pfk__ledger *g, int i, uint64_t pos,
    size_t len)
{
	link_chunk(q, g, i);
	q->pos = pos;
	q->len = len;
}

int
pfk__outq_append(struct pfk__outq *q, struct pfk__ledger *g, int fd,
    uint64_t pos, const void *buf, size_t len)
{
	const char *from = buf;

	if (len == 0)
		return 0;
	if (!pfk__chunks_have(g, len / PFK__CHUNK_BYTES + 1)) {
		errno = ENOMEM;
		return -1;
	}
	if (q->len == 0)
		q->pos = pos;
	while (len > 0) {
		size_t n;

		if (!can_fill_last(q, g))
			add_chunk(q, g, fd);
		n = fill_last(q, g, from, len);
		from += n;
		len -= n;
	}
	return 0;
}

ssize_t
pfk__outq_read(struct pfk__outq *q, struct pfk__ledger *g, int fd, uint64_t pos,
    int from)
{
	struct pfk__chunk *c;
	ssize_t n;

	if (!pfk__chunks_have(g, 1)) {
		errno = ENOMEM;
		return -1;
	}
	if (q->len == 0)
		q->pos = pos;
	if (!can_fill_last(q, g))
		add_chunk(q, g, fd);
	c = &g->chunks[q->last];
	n = read(from, pfk__chunk_data(g, q->last) + c->len,
	    PFK__CHUNK_BYTES - c->len);
	if (n > 0)
		pfk__outq_extend(q, g, (size_t)n);
	else if (q->len == 0)
		pfk__outq_clear(q, g);
	return n;
}

bool
pfk__outq_extend(struct pfk__outq *q, struct pfk__ledger *g, size_t n)
{
	struct pfk__chunk *c = q->last != NONE ? &g->chunks[q->last] : NULL;

	if (c == NULL || n > PFK__CHUNK_BYTES - c->len)
		return n == 0;
	pfk__in_order();
	c->len += (uint32_t)n;
	q->len += n;
	return true;
}

void
pfk__outq_cut(struct pfk__outq *q, struct pfk__ledger *g, size_t n)
{
	uint64_t end = q->pos + n;
	int i = q->first, last = NONE;

	while (i != NONE && g->chunks[i].pos < end) {
		struct pfk__chunk *c = &g->chunks[i];

		if (c->pos + c->len > end)
			c->len = (uint32_t)(end - c->pos);
		last = i;
		i = g->next[i];
	}
	while (i != NONE) {
		int next = g->next[i];

		pfk__chunk_give(g, i);
		i = next;
	}
	q->len = n;
	q->last = last;
	if (last == NONE)
		q->first = NONE;
	else
		g->next[last] = NONE;
}

void
pfk__outq_consume(struct pfk__outq *q, struct pfk__ledger *g, size_t n)
{
	assert(n <= q->len);
	q->pos += n;
	q->len -= n;
	while (q->first != NONE) {
		int i = q->first;

		if (q->len > 0 && g->chunks[i].pos + g->chunks[i].len > q->pos)
			return;
		q->first = g->next[i];
		if (q->first == NONE)
			q->last = NONE;
		pfk__chunk_give(g, i);
	}
}

int
pfk__outq_vectors(const struct pfk__outq *q, const struct pfk__ledger *g,
    struct iovec *iov, int max)
{
	uint64_t pos = q->pos;
	int n = 0;

	for (int i = q->first; i != NONE && n < max; i = g->next[i]) {
		const struct pfk__chunk *c = &g->chunks[i];
		size_t skip = (size_t)(pos - c->pos);

		iov[n].iov_base = pfk__chunk_data(g, i) + skip;
		iov[n++].iov_len = c->len - skip;
		pos = c->pos + c->len;
	}
	return n;
}

void
pfk__outq_clear(struct pfk__outq *q, struct pfk__ledger *g)
{
	pfk__outq_consume(q, g, q->len);
}
