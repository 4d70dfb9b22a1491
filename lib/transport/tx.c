/*
 * tx.c: callbacks as transactions.
 *
 * Layer: transport.
 */
#include "transport/tx.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/misuse.h"
#include "event/fork.h"
#include "event/zone.h"
#include "transport/join.h"
#include "transport/server.h"

void
pfk__tx_begin(struct pfk_transport *tr, enum pfk__tx_kind kind)
{
	struct pfk_loop *l = tr->io.loop;

	pfk__point(l->ledger);
	l->tx_depth++;
	if (l->tx_kind != PFK__TX_NONE)
		return;
	l->tx_kind = kind;
	l->tx_fd = tr->io.fd;
	if (l->ledger->deeds_waiting > 0)
		pfk__deeds_take(l);
}

void
pfk__tx_touch(struct pfk_transport *tr)
{
	if (tr->touched)
		return;
	tr->touched = true;
	SLIST_INSERT_HEAD(&tr->io.loop->tx_touched, tr, tx_link);
}

static void
commit_state(struct pfk_loop *l, uint64_t tx)
{
	uint64_t *t = l->ledger->head->state_tx;

	if (!l->tx_state)
		return;
	l->tx_state = false;
	t[pfk__state_copy(l->ledger) == 0 ? 1 : 0] = tx;
}

/* Send the queues, then do the steps that waited for that. */
static void
after_commit(struct pfk_transport *tr)
{
	if (tr->state == PFK__TCP_LOST || tr->state == PFK__TCP_GIVEN)
		return;
	if (tr->out.len > 0 && (tr->io.armed & PFK_WRITE) == 0)
		pfk__tcp_flush(tr);
	if (tr->state == PFK__TCP_LOST)
		return;
	pfk__tcp_watch(tr);
	pfk__tcp_tell_pause(tr);
}

static void
commit(struct pfk_loop *l)
{
	struct pfk__ledger_head *h = l->ledger->head;
	SLIST_HEAD(, pfk_transport) touched = {SLIST_FIRST(&l->tx_touched)};
	struct pfk_transport *tr;

	SLIST_INIT(&l->tx_touched);
	SLIST_FOREACH(tr, &touched, tx_link) {
		assert(tr->touched && tr->io.loop == l);
		pfk__point(l->ledger);
		pfk__tcp_version(tr, h->committed + 1);
	}
	commit_state(l, h->committed + 1);
	l->tx_full = l->tx_deeds = false;
	pfk__point(l->ledger);
	pfk__in_order();
	h->committed++;
	pfk__in_order();
	pfk__point(l->ledger);
	pfk__deeds_settle();
	while ((tr = SLIST_FIRST(&touched)) != NULL) {
		SLIST_REMOVE_HEAD(&touched, tx_link);
		tr->touched = false;
		l->tx_kind = PFK__TX_NONE;
		after_commit(tr);
	}
}

static void
leave(struct pfk_loop *l)
{
	if (--l->tx_depth == 0)
		l->tx_kind = PFK__TX_NONE;
}

void
pfk__tx_end(struct pfk_loop *l)
{
	assert(l->tx_depth > 0);
	if (pfk__forked(l)) {
		leave(l);
		return;
	}
	pfk__point(l->ledger);
	/* A callback of after_commit belongs to the next transaction. */
	while (l->tx_depth == 1 &&
	    (!SLIST_EMPTY(&l->tx_touched) || l->tx_state || l->tx_deeds))
		commit(l);
	leave(l);
}

/* blocks */

/* Most programs use the block without a look, and then they crash. */
static void
explain_none(const struct pfk_transport *tr)
{
	static bool explained;

	if (!explained)
		pfk__misuse(EINVAL,
		    "pfk_block: %s has no block; set survives and block_bytes of "
		    "its server's protocol",
		    tr->roster->server != NULL
			? "the connection"
			: "a connection that the program has opened");
	explained = true;
}

void *
pfk_block(struct pfk_transport *tr)
{
	struct pfk__ledger *g = tr->io.loop->ledger;
	struct pfk__record *r = pfk__record(g, tr->io.fd);
	unsigned copy;

	if (r == NULL || pfk__block(g, tr->io.fd, 0) == NULL) {
		explain_none(tr);
		return NULL;
	}
	copy = pfk__version(g, r)->block;
	if (!pfk__tx_holds(tr))
		return pfk__block(g, tr->io.fd, copy);
	if (!tr->new_block) {
		memcpy(pfk__block(g, tr->io.fd, !copy),
		    pfk__block(g, tr->io.fd, copy), g->head->block_bytes);
		tr->new_block = true;
		pfk__tx_touch(tr);
	}
	return pfk__block(g, tr->io.fd, !copy);
}

ssize_t
pfk_hand_over_block(void *self, void *buf, size_t room)
{
	(void)self;
	(void)buf;
	(void)room;
	return PFK_NEVER;
}

ssize_t
pfk__block_save(struct pfk_transport *tr, void *buf)
{
	size_t n = tr->roster->proto->block_bytes;
	const void *block = n > 0 ? pfk_block(tr) : NULL;

	if (block == NULL)
		return 0;
	memcpy(buf, block, n);
	return (ssize_t)n;
}

void
pfk__block_load(struct pfk_transport *tr, const void *buf, size_t len)
{
	void *block = len > 0 ? pfk_block(tr) : NULL;

	if (block != NULL && len == tr->roster->proto->block_bytes)
		memcpy(block, buf, len);
}

void
pfk_die_at(struct pfk_loop *l, uint64_t n)
{
	/* In a successor the point is behind us. */
	if (!l->ledger->resumed)
		l->ledger->head->die_at = n;
}

void *
pfk_loop_state(struct pfk_loop *l, size_t bytes)
{
	struct pfk__ledger *g = l->ledger;
	unsigned copy = pfk__state_copy(g);
	char *now = g->state + copy * PFK__STATE_MAX;
	char *next = g->state + !copy * PFK__STATE_MAX;

	if (bytes > PFK__STATE_MAX) {
		pfk__misuse(EINVAL,
		    "pfk_loop_state: %zu bytes; it is %zu at most", bytes,
		    (size_t)PFK__STATE_MAX);
		return NULL;
	}
	l->tx_end = pfk__tx_end;
	if (l->tx_depth == 0)
		return now;
	if (!l->tx_state) {
		g->head->state_tx[!copy] = PFK__NO_TX;
		pfk__in_order();
		memcpy(next, now, bytes);
		l->tx_state = true;
	}
	return next;
}
