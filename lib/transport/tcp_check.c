/*
 * tcp_check.c: the interest that a state asks for, and the invariants of tcp.h
 * as code.
 *
 * Layer: transport.
 */
#include <assert.h>

#include "transport/input.h"
#include "transport/join.h"
#include "transport/server.h"

unsigned
pfk__tcp_interest(struct pfk_transport *tr)
{
	const struct pfk_transport *to = pfk__join_sink(tr);
	bool blocked = tr->paused ||
	    (to != NULL ? pfk__unsent(to) > 0 : pfk__input_blocked(tr));
	unsigned want = 0;

	if (!tr->eof_received && (tr->state == PFK__TCP_CLOSING || !blocked))
		want |= PFK_READ;
	if (pfk__unsent(tr) > 0 && !tr->corked)
		want |= PFK_WRITE;
	return want;
}

void
pfk__tcp_check(struct pfk_transport *tr)
{
	const struct pfk__ledger *g = tr->io.loop->ledger;
	const struct pfk__record *r = pfk__record(g, tr->io.fd);

	assert(tr->io.fd >= 0 && tr->roster != NULL && tr->low <= tr->high);
	assert(!tr->corked);
	switch ((enum pfk__tcp_state)tr->state) {
	case PFK__TCP_OPEN:
	case PFK__TCP_CLOSING:
		/* A successor learns of it. */
		assert(!g->shared || r == NULL || r->entry != PFK__ENTRY_NONE);
		/* 1 and 2 */
		assert(tr->io.active);
		assert(tr->io.want == pfk__tcp_interest(tr));
		break;
	case PFK__TCP_GIVEN:
		/* 3: nothing moves until the answer. */
		assert(!tr->io.active && tr->shared);
		break;
	case PFK__TCP_LOST:
		/* 4 */
		assert(!tr->io.active && tr->soon.order != 0);
		assert(tr->out.len == 0 && tr->linger == NULL);
		break;
	}
}

void
pfk__tcp_check_all(struct pfk_loop *l)
{
	struct pfk__roster *r = NULL;
	struct pfk_transport *tr;

	while ((r = pfk__roster_next(l, r)) != NULL) {
		pfk__roster_check(r);
		TAILQ_FOREACH(tr, &r->transports, link)
			pfk__tcp_check(tr);
	}
}
