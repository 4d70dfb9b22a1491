/*
 * zone_deed.c: the deeds of a transaction that may be run again.
 *
 * Layer: event.
 */
#include <string.h>

#include "event/ledger.h"
#include "event/loop.h"
#include "event/zone.h"

/* Of the transaction under way. */
static struct {
	/* Those that a predecessor has done, and which it has not asked for. */
	bool due[PFK__DEEDS_MAX];
	uint32_t n_due;
	uint32_t next; /* no place before it is free */
} tx;

static struct pfk__ledger *
ledger_of(const struct pfk_zone *z)
{
	const struct pfk_loop *l = z->loop;

	return l != NULL && l->tx_kind > PFK__TX_ONCE ? l->ledger : NULL;
}

static uint64_t
under_way(const struct pfk__ledger *g)
{
	return g->head->committed + 1;
}

void
pfk__deeds_enter(struct pfk_loop *l)
{
	struct pfk__ledger *g = l->ledger;

	if (!g->resumed)
		return;
	for (uint32_t i = 0; i < g->head->deeds; i++) {
		struct pfk__deed *d = &g->deeds[i];
		const struct pfk__record *r = pfk__record(g, d->fd);

		if (d->until <= g->head->committed)
			continue;
		d->until = PFK__NO_TX;
		if (r != NULL && r->entry == PFK__ENTRY_STREAM)
			g->deeds_waiting++;
		else
			d->until = 0;
	}
	pfk__in_order();
	g->head->deed_begun = 0;
}

void
pfk__deeds_take(struct pfk_loop *l)
{
	struct pfk__ledger *g = l->ledger;

	for (uint32_t i = 0; i < g->head->deeds; i++) {
		struct pfk__deed *d = &g->deeds[i];

		if (d->until != PFK__NO_TX || d->fd != l->tx_fd ||
		    d->during != (int32_t)l->tx_kind)
			continue;
		d->until = under_way(g);
		tx.due[i] = true;
		tx.n_due++;
		g->deeds_waiting--;
		l->tx_deeds = true;
	}
	pfk__in_order();
}

void
pfk__deeds_settle(void)
{
	if (tx.n_due > 0)
		memset(tx.due, 0, sizeof(tx.due));
	tx.n_due = tx.next = 0;
}

void
pfk__deeds_forget(struct pfk__ledger *g, int fd)
{
	for (uint32_t i = 0; i < g->head->deeds; i++) {
		struct pfk__deed *d = &g->deeds[i];

		if (d->until != PFK__NO_TX || d->fd != fd)
			continue;
		d->until = 0;
		g->deeds_waiting--;
	}
	pfk__in_order();
}

bool
pfk__deed_done(struct pfk_zone *z, enum pfk__deed_kind kind, uint64_t hash,
    struct pfk__deed *result)
{
	const struct pfk__ledger *g = ledger_of(z);
	const struct pfk__deed *first = NULL;

	if (g == NULL || tx.n_due == 0)
		return false;
	for (uint32_t i = 0; i < g->head->deeds; i++) {
		const struct pfk__deed *d = &g->deeds[i];

		if (tx.due[i] && d->kind == (int32_t)kind && d->hash == hash &&
		    d->zone == z->number &&
		    (first == NULL || d->order < first->order))
			first = d;
	}
	if (first == NULL)
		return false;
	tx.due[first - g->deeds] = false;
	*result = *first;
	return true;
}

void
pfk__deed_begin(struct pfk_zone *z, const struct pfk__deed *deed)
{
	struct pfk__ledger *g = ledger_of(z);
	struct pfk__deed *d;

	if (g == NULL || deed->kind == PFK__DEED_NONE)
		return;
	while (tx.next < PFK__DEEDS_MAX &&
	    g->deeds[tx.next].until > g->head->committed)
		tx.next++;
	if (tx.next == PFK__DEEDS_MAX)
		return;
	d = &g->deeds[tx.next];
	*d = *deed;
	d->order = ++g->head->deeds_order;
	d->fd = z->loop->tx_fd;
	d->during = (int32_t)z->loop->tx_kind;
	if (g->head->deeds <= tx.next)
		g->head->deeds = tx.next + 1;
	pfk__in_order();
	g->head->deed_begun = tx.next + 1;
	pfk__in_order();
	pfk__point(g);
}

void
pfk__deed_end(struct pfk_zone *z)
{
	struct pfk__ledger *g = ledger_of(z);

	if (g == NULL || g->head->deed_begun == 0)
		return;
	pfk__point(g);
	pfk__in_order();
	g->deeds[g->head->deed_begun - 1].until = under_way(g);
	pfk__in_order();
	g->head->deed_begun = 0;
	z->loop->tx_deeds = true;
	/* The transaction ends before there are too many. */
	z->loop->tx_full = tx.next > PFK__DEEDS_MAX / 2;
	pfk__in_order();
	pfk__point(g);
}

void
pfk__deed_find(struct pfk_zone *z, uint32_t stripe)
{
	struct pfk__ledger *g = z->loop->ledger;
	struct pfk__deed *d;

	if (!g->resumed || g->head->deed_begun == 0)
		return;
	d = &g->deeds[g->head->deed_begun - 1];
	if (d->zone != z->number || d->stripe != stripe || d->item == 0)
		return;
	if (pfk__stripe_has(z, stripe, d->item) ==
	    (d->kind != PFK__DEED_DELETE))
		d->until = under_way(g);
}
