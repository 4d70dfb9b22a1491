/*
 * loop_check.c: the invariants of loop.h, as code.
 *
 * Layer: event.
 */
#include <assert.h>

#include "event/loop.h"

/* 1 and 2: interest, and registrations. */
static void
check_ios(const struct pfk_loop *l)
{
	int dirty = 0;
	size_t ios = 0;

	for (int fd = 0; fd < l->table_size; fd++) {
		const struct pfk_io *io = l->table[fd].io;

		if (io == NULL)
			continue;
		assert(io->active && io->loop == l && io->fd == fd);
		assert(io->dirty || io->want == io->armed ||
		    l->refused_at_ns != 0);
		assert(l->table[fd].generation > 0);
		dirty += io->dirty;
		/* Signals alone do not keep the loop running. */
		ios += io != &l->wake;
	}
	assert(ios == l->ios && dirty == l->dirty_len);
	for (int i = 0; i < l->dirty_len; i++) {
		const struct pfk_io *io = l->table[l->dirty[i]].io;

		assert(io != NULL && io->dirty);
	}
}

/* 3: the queue is in the order of arrival. */
static void
check_soon(const struct pfk_loop *l)
{
	const struct pfk__soon *s;
	uint64_t last = 0;

	TAILQ_FOREACH(s, &l->soon, link) {
		assert(s->order > last && s->order <= l->soon_order);
		last = s->order;
	}
}

/* 5: the drain of a member is one that the loop was told. */
static void
check_members(const struct pfk_loop *l)
{
	const struct pfk__member *m;
	size_t holders = l->held;

	LIST_FOREACH(m, &l->members, link) {
		assert(m->drain != NULL && m->drained <= l->drained);
		holders += !m->light;
	}
	assert(holders == l->holders);
}

void
pfk__loop_check(struct pfk_loop *l)
{
	check_ios(l);
	check_soon(l);
	check_members(l);
	for (size_t i = 0; i < sizeof(l->serving) / sizeof(l->serving[0]);
	     i++) {
		if (l->serving[i] != NULL && l->serving[i]->check != NULL)
			l->serving[i]->check(l);
	}
	/* It reads files: in the first turns after a restart, then seldom. */
	if (l->ledger->shared && (l->turns & (l->turns - 1)) == 0)
		pfk__ledger_check(l);
	if (l->check != NULL)
		l->check(l->check_arg);
}
