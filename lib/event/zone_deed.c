/*
 * zone_deed.c: the deeds of a transaction that may be run again.
 *
 * Layer: event.
 */
#include <stdlib.h>

#include "event/ledger.h"
#include "event/loop.h"
#include "event/zone.h"

/* The deeds that a predecessor has done, and which of them were asked for. */
static struct {
	uint64_t tx;
	uint32_t n;
	bool asked[PFK__DEEDS_MAX];
} past;

static struct pfk__ledger *
ledger_of(const struct pfk_zone *z)
{
	const struct pfk_loop *l = z->loop;

	return l != NULL && l->tx_depth > 0 && !l->tx_once ? l->ledger : NULL;
}

void
pfk__deeds_enter(struct pfk_loop *l)
{
	struct pfk__ledger_head *h = l->ledger->head;

	/* They were carried, and the commit did not follow. */
	if (h->deeds_tx == h->committed + 2)
		h->deeds_tx--;
	past.tx = h->deeds_tx;
	past.n = l->ledger->resumed ? l->ledger->head->deeds : 0;
}

void
pfk__deeds_carry(struct pfk_loop *l)
{
	struct pfk__ledger_head *h = l->ledger->head;

	if (past.n == 0 || past.tx != h->committed + 1 ||
	    h->deeds_tx != past.tx)
		return;
	pfk__point(l->ledger);
	past.tx = ++h->deeds_tx;
	pfk__in_order();
}

bool
pfk__deed_done(struct pfk_zone *z, enum pfk__deed_kind kind, uint64_t hash,
    struct pfk__deed *result)
{
	const struct pfk__ledger *g = ledger_of(z);

	if (g == NULL || past.n == 0 || past.tx != g->head->committed + 1)
		return false;
	for (uint32_t i = 0; i < past.n; i++) {
		const struct pfk__deed *d = &g->deeds[i];

		if (past.asked[i] || d->kind != (int32_t)kind ||
		    d->hash != hash || d->zone != z->number)
			continue;
		past.asked[i] = true;
		*result = *d;
		return true;
	}
	return false;
}

void
pfk__deed_begin(struct pfk_zone *z, const struct pfk__deed *deed)
{
	struct pfk__ledger *g = ledger_of(z);

	if (g == NULL || deed->kind == PFK__DEED_NONE)
		return;
	if (g->head->deeds_tx != g->head->committed + 1) {
		g->head->deeds = 0;
		g->deeds[0].kind = 0;
		pfk__point(g);
		pfk__in_order();
		g->head->deeds_tx = g->head->committed + 1;
	}
	if (g->head->deeds < PFK__DEEDS_MAX)
		g->deeds[g->head->deeds] = *deed;
	pfk__in_order();
	pfk__point(g);
}

void
pfk__deed_end(struct pfk_zone *z)
{
	struct pfk__ledger *g = ledger_of(z);

	if (g == NULL)
		return;
	pfk__point(g);
	pfk__in_order();
	/* The next one has not begun. */
	if (g->head->deeds + 1 < PFK__DEEDS_MAX)
		g->deeds[g->head->deeds + 1].kind = 0;
	pfk__in_order();
	if (g->head->deeds < PFK__DEEDS_MAX)
		g->head->deeds++;
	/* The transaction ends before there are too many. */
	z->loop->tx_full = g->head->deeds > PFK__DEEDS_MAX / 2;
	pfk__in_order();
	pfk__point(g);
}

void
pfk__deed_settle(struct pfk_zone *z, uint32_t stripe)
{
	struct pfk__ledger *g = z->loop->ledger;
	const struct pfk__deed *d;

	if (!g->resumed || g->head->deeds >= PFK__DEEDS_MAX ||
	    g->head->deeds_tx != g->head->committed + 1)
		return;
	d = &g->deeds[g->head->deeds];
	if (d->kind == 0 || d->zone != z->number || d->stripe != stripe ||
	    d->item == 0)
		return;
	if (pfk__stripe_has(z, stripe, d->item) ==
	    (d->kind != PFK__DEED_DELETE))
		g->head->deeds++;
}
