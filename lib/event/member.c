/*
 * member.c: the objects of a loop that drain with it, and the calls that hold and
 * drain it.
 *
 * Layer: event.
 */
#include <assert.h>
#include <errno.h>

#include "base/misuse.h"
#include "event/loop.h"

void
pfk__member_add(struct pfk_loop *l, struct pfk__member *m,
    void (*drain)(struct pfk__member *m, enum pfk_drain how))
{
	assert(drain != NULL);
	m->drain = drain;
	m->drained = PFK__NO_DRAIN;
	m->light = false;
	l->holders++;
	LIST_INSERT_HEAD(&l->members, m, link);
}

void
pfk__member_lighten(struct pfk_loop *l, struct pfk__member *m)
{
	assert(m->light || l->holders > 0);
	if (!m->light)
		l->holders--;
	m->light = true;
}

void
pfk__member_remove(struct pfk_loop *l, struct pfk__member *m)
{
	assert(m->light || l->holders > 0);
	if (!m->light)
		l->holders--;
	LIST_REMOVE(m, link);
}

void
pfk_loop_hold(struct pfk_loop *l)
{
	l->held++;
	l->holders++;
}

int
pfk_loop_release(struct pfk_loop *l)
{
	if (l->held == 0)
		return pfk__misuse(EINVAL,
		    "pfk_loop_release: the loop is not held");
	l->held--;
	l->holders--;
	return 0;
}

static struct pfk__member *
undrained(const struct pfk_loop *l)
{
	struct pfk__member *m;

	LIST_FOREACH(m, &l->members, link) {
		if (m->drained < l->drained)
			return m;
	}
	return NULL;
}

static void
drain_members(void *arg)
{
	struct pfk_loop *l = arg;
	struct pfk__member *m;

	/* A drain may end any member, so look anew each time. */
	while ((m = undrained(l)) != NULL) {
		m->drained = l->drained;
		m->drain(m, (enum pfk_drain)l->drained);
	}
}

void
pfk_loop_drain(struct pfk_loop *l, enum pfk_drain how)
{
	if ((unsigned)how > PFK_DRAIN_NOW) {
		pfk__misuse(EINVAL,
		    "pfk_loop_drain: `how` is %d, no enum pfk_drain", (int)how);
		return;
	}
	if ((int)how > l->drained)
		l->drained = (int)how;
	pfk__soon_add(l, &l->drain, drain_members, l);
}
