/*
 * owned.c: buffers that the program has handed over, in a connection's queue.
 *
 * Layer: transport.
 */
#include "transport/owned.h"

#include <stdlib.h>

struct pfk__owned {
	struct pfk__soon soon; /* for its release */
	STAILQ_ENTRY(pfk__owned) link;
	uint64_t pos;
	size_t len;
	const char *buf;
	void (*release)(void *arg);
	void *arg;
};

static void
release(void *arg)
{
	struct pfk__owned o = *(struct pfk__owned *)arg;

	free(arg);
	if (o.release != NULL)
		o.release(o.arg);
}

struct pfk__owned *
pfk__owned_new(void (*release_cb)(void *arg), void *arg)
{
	struct pfk__owned *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	o->release = release_cb;
	o->arg = arg;
	return o;
}

void
pfk__owned_release(struct pfk_loop *l, struct pfk__owned *o)
{
	pfk__soon_add(l, &o->soon, release, o);
}

void
pfk__owned_drop(struct pfk__owned *o)
{
	free(o);
}

int
pfk__owned_append(struct pfk_transport *tr, const void *buf, size_t len,
    void (*release_cb)(void *arg), void *arg)
{
	struct pfk__extra *e = pfk__need_extra(tr);
	struct pfk__owned *o = e != NULL ? pfk__owned_new(release_cb, arg)
					 : NULL;

	if (o == NULL)
		return -1;
	if (tr->out.len == 0)
		tr->out.pos = tr->sent;
	o->buf = buf;
	o->len = len;
	o->pos = tr->out.pos + tr->out.len;
	tr->out.len += len;
	STAILQ_INSERT_TAIL(&e->owned, o, link);
	return 0;
}

int
pfk__owned_vectors(const struct pfk_transport *tr, struct iovec *iov, int max)
{
	const struct pfk__ledger *g = tr->io.loop->ledger;
	const struct pfk__outq *q = &tr->out;
	const struct pfk__owned *o;
	uint64_t pos = q->pos, end = q->pos + q->len;
	int i = q->first, n = 0;

	if (!pfk__owns(tr))
		return pfk__outq_vectors(q, g, iov, max);
	o = STAILQ_FIRST(&tr->extra->owned);
	for (; pos < end && n < max; n++) {
		const char *base;
		uint64_t from, len;

		if (o != NULL && o->pos <= pos) {
			base = o->buf;
			from = o->pos;
			len = o->len;
			o = STAILQ_NEXT(o, link);
		} else {
			base = pfk__chunk_data(g, i);
			from = g->chunks[i].pos;
			len = g->chunks[i].len;
			i = g->next[i];
		}
		iov[n].iov_base = (void *)(uintptr_t)(base + (pos - from));
		iov[n].iov_len = (size_t)(from + len - pos);
		pos = from + len;
	}
	return n;
}

void
pfk__owned_consume(struct pfk_transport *tr, size_t n)
{
	struct pfk__owned *o;

	pfk__outq_consume(&tr->out, tr->io.loop->ledger, n);
	while (pfk__owns(tr)) {
		o = STAILQ_FIRST(&tr->extra->owned);
		if (o->pos + o->len > tr->out.pos)
			return;
		STAILQ_REMOVE_HEAD(&tr->extra->owned, link);
		pfk__owned_release(tr->io.loop, o);
	}
}

/* Room for all vectors of the queue: each buffer may end a chunk early. */
static size_t
count_vectors(const struct pfk_transport *tr)
{
	const struct pfk__owned *o;
	size_t n = tr->out.len / PFK__CHUNK_BYTES + 2;

	STAILQ_FOREACH(o, &tr->extra->owned, link)
		n += 2;
	return n;
}

int
pfk__owned_copy(struct pfk_transport *tr)
{
	struct pfk__ledger *g = tr->io.loop->ledger;
	struct pfk__outq copy;
	struct iovec *iov;
	int n, rc = 0;

	if (!pfk__owns(tr))
		return 0;
	iov = calloc(count_vectors(tr), sizeof(*iov));
	if (iov == NULL)
		return -1;
	n = pfk__owned_vectors(tr, iov, (int)count_vectors(tr));
	pfk__outq_init(&copy);
	for (int i = 0; i < n && rc == 0; i++)
		rc = pfk__outq_append(&copy, g, tr->io.fd, tr->out.pos,
		    iov[i].iov_base, iov[i].iov_len);
	free(iov);
	if (rc == -1) {
		pfk__outq_clear(&copy, g);
		return -1;
	}
	pfk__owned_consume(tr, tr->out.len);
	tr->out = copy;
	return 0;
}
