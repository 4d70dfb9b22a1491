/*
 * check.c: the invariants of master.h, as code, and the table of states.
 *
 * Layer: process.  Nothing that a worker sends can make one fail: a worker that
 * breaks the protocol is killed, and its slot and its child stay as they are
 * until it is reaped.
 */
#include <assert.h>

#include "process/master.h"

static bool
is_child(const struct pfk__master *m, const struct pfk__child *which, int slot)
{
	const struct pfk__child *c;

	LIST_FOREACH(c, &m->children, link) {
		if (c == which)
			return c->slot == slot || slot == -1;
	}
	return false;
}

/* The processes that a slot has in each state, while the service runs. */
static void
check_state(const struct pfk__place *p)
{
	bool serving = p->serving != NULL;
	bool booting = p->booting != NULL || p->held;

	pfk__slot_check(&p->slot);
	assert(p->booting == NULL || !p->held);
	switch (p->slot.state) {
	case PFK__SLOT_EMPTY:
	case PFK__SLOT_BACKOFF:
		assert(!serving && !booting);
		break;
	case PFK__SLOT_STARTING:
		assert(!serving && booting);
		break;
	case PFK__SLOT_SERVING:
		assert(serving && !booting);
		break;
	case PFK__SLOT_REPLACING:
		assert(serving && booting);
		break;
	}
}

void
pfk__master_check(void *arg)
{
	const struct pfk__master *m = arg;
	const struct pfk__child *c;

	/* 1 */
	for (int i = 0; i < m->places_top; i++) {
		const struct pfk__place *p = &m->places[i];

		if (p->serving != NULL)
			assert(is_child(m, p->serving, i) &&
			    p->serving->phase == PFK__PHASE_SERVING);
		if (p->booting != NULL)
			assert(is_child(m, p->booting, i) &&
			    p->booting->phase == PFK__PHASE_BOOTING);
		if (p->adopter != NULL)
			assert(is_child(m, p->adopter, -1));
		/* 2: in a stop nothing is started or renewed. */
		if (m->stop == PFK__STOP_NONE)
			check_state(p);
	}
	LIST_FOREACH(c, &m->children, link) {
		const struct pfk__place *p = &m->places[c->slot];

		assert(c->master == m && c->generation <= m->generation);
		/* A child that serves or boots is its slot's. */
		assert(c->phase != PFK__PHASE_SERVING || p->serving == c ||
		    m->stop != PFK__STOP_NONE);
		assert(!c->retire_wanted || c->phase == PFK__PHASE_LEAVING);
		/* 3 */
		assert((c->channel == -1) == (c->io == NULL));
	}
	assert(m->stop == PFK__STOP_NONE || m->custody.len == 0);
	pfk__custody_check(&m->custody);
}
