/*
 * adopt.c: a sibling serves the sockets of a slot that cannot.
 *
 * Layer: process.  A slot cannot serve while it is in back-off or given up by
 * a smaller number of workers; then there is no process.  Or it does not: its
 * queue is not empty for a while, and its loop does not turn (it is stopped,
 * hung or starting slowly), or it has all the connections that it may have.  A
 * false positive does no harm: two workers accept from one queue for a moment.
 */
#include <stdlib.h>

#include "process/master.h"

/* When the slot's loop last turned; where there is none, none has since. */
static uint64_t
beat(const struct pfk__place *p)
{
	/* A full one turns, but not for its queue. */
	if (p->serving == NULL || p->serving->pulse.page->full != 0)
		return p->stall.beat;
	return __atomic_load_n(&p->serving->pulse.page->beat, __ATOMIC_RELAXED);
}

static bool
needs_help(const struct pfk__master *m, int slot)
{
	const struct pfk__place *p = &m->places[slot];

	if (pfk__custody_count(&m->custody, slot) == 0)
		return false;
	return p->stall.stalled ||
	    (p->serving == NULL &&
		(p->slot.state == PFK__SLOT_EMPTY || p->held ||
		    p->slot.state == PFK__SLOT_BACKOFF));
}

/*
 * The next slot's worker that is healthy, or else one that turns again.  Where
 * there is none, one that stands still is better than no process at all.
 */
static struct pfk__child *
sibling(const struct pfk__master *m, int slot)
{
	struct pfk__child *turns = NULL, *still = NULL;

	for (int i = 1; i <= m->workers; i++) {
		int k = (slot + i) % m->workers;
		struct pfk__child *c = m->places[k].serving;

		if (k == slot || c == NULL)
			continue;
		if (!pfk__heirs_can_take(c))
			still = c;
		else if (!m->places[k].stall.stalled)
			return c;
		else if (turns == NULL)
			turns = c;
	}
	if (turns != NULL)
		return turns;
	return m->places[slot].serving == NULL ? still : NULL;
}

static const char *
cause_of_need(const struct pfk__place *p)
{
	if (p->serving == NULL)
		return "it has no worker";
	if (p->serving->pulse.page->full != 0)
		return "its worker has no room for connections";
	return "its worker's loop does not turn";
}

static void
adopt(struct pfk__master *m, int slot)
{
	struct pfk__place *p = &m->places[slot];
	struct pfk__child *c = sibling(m, slot);
	const struct pfk__lent *l;

	if (c == NULL)
		return;
	for (l = pfk__custody_first(&m->custody, slot); l != NULL;
	     l = pfk__custody_next(l)) {
		struct pfk__message msg = {.type = PFK__MSG_ADOPT,
		    .kind = (int32_t)l->kind,
		    .owner = slot};

		pfk__child_tell(c, &msg, l->fd);
	}
	p->adopter = c;
	c->adopted = true;
	pfk_log(PFK_INFO, "worker %d (%d) serves for slot %d, because %s",
	    c->slot, (int)pfk__child_pid(c), slot, cause_of_need(p));
}

void
pfk__adopt_release(struct pfk__master *m, int slot)
{
	struct pfk__place *p = &m->places[slot];
	struct pfk__message msg = {.type = PFK__MSG_RELEASE, .owner = slot};

	if (p->adopter != NULL) {
		pfk__child_tell(p->adopter, &msg, -1);
		p->adopter->release_ns = pfk__clock_now();
	}
	p->adopter = NULL;
}

bool
pfk__adopt_released(const struct pfk__master *m)
{
	for (int i = 0; i < m->places_top; i++) {
		const struct pfk__child *c = m->places[i].serving;

		/* Its beat is the time of its loop's last turn. */
		if (c != NULL &&
		    __atomic_load_n(&c->pulse.page->beat, __ATOMIC_RELAXED) <
			c->release_ns)
			return false;
	}
	return true;
}

/* The adopter itself may stand still by now. */
static bool
is_still(const struct pfk__master *m, const struct pfk__child *c)
{
	const struct pfk__place *p = &m->places[c->slot];

	return p->stall.still && p->serving == c;
}

static bool
has_better(const struct pfk__master *m, int slot)
{
	const struct pfk__child *c = sibling(m, slot);

	return c != NULL && pfk__heirs_can_take(c);
}

static void
give_back(struct pfk__master *m, int slot)
{
	int adopter = m->places[slot].adopter->slot;

	pfk__adopt_release(m, slot);
	pfk_log(PFK_INFO, "slot %d recovered; worker %d released its listeners",
	    slot, adopter);
}

void
pfk__adopt_maintain(struct pfk__master *m)
{
	for (int i = 0; i < m->places_top; i++) {
		struct pfk__place *p = &m->places[i];
		bool needs = needs_help(m, i);

		if (needs && p->adopter != NULL && is_still(m, p->adopter) &&
		    has_better(m, i))
			pfk__adopt_release(m, i);
		if (needs && p->adopter == NULL)
			adopt(m, i);
		else if (!needs && p->adopter != NULL && p->serving != NULL)
			give_back(m, i);
	}
}

void
pfk__adopt_forget(struct pfk__master *m, const struct pfk__child *c)
{
	for (int i = 0; i < m->places_top; i++) {
		if (m->places[i].adopter == c)
			m->places[i].adopter = NULL;
	}
}

void
pfk__adopt_prune(struct pfk__master *m)
{
	struct pfk__lent *l, *next;

	for (l = pfk__custody_first_of_all(&m->custody); l != NULL; l = next) {
		next = pfk__custody_next_of_all(l);
		if (m->places[l->slot].slot.state == PFK__SLOT_EMPTY &&
		    pfk__custody_find(&m->custody, 0, l->kind, &l->asked) ==
			NULL)
			pfk__custody_drop(l);
	}
}

/* looking */

/*
 * Whether each slot's worker has something to serve: in its own queue, or in one
 * that it has adopted.  An adopter that hangs may have an empty queue itself.
 */
static void
look_at_queues(struct pfk__master *m)
{
	for (int i = 0; i < m->places_top; i++) {
		struct pfk__place *p = &m->places[i];

		if (p->stall.stalled)
			pfk__broken_look(m, i);
		p->waiting = p->stall.queued &&
		    p->slot.state != PFK__SLOT_EMPTY &&
		    pfk__custody_waiting(&m->custody, i);
	}
	for (int i = 0; i < m->places_top; i++) {
		const struct pfk__child *c = m->places[i].adopter;

		if (c == NULL || !pfk__custody_waiting(&m->custody, i))
			continue;
		m->places[c->slot].waiting = true;
		pfk__stall_queued(&m->places[c->slot].stall,
		    beat(&m->places[c->slot]), pfk_loop_now(m->loop));
	}
}

static uint64_t
look_at(struct pfk__master *m, int slot)
{
	struct pfk__place *p = &m->places[slot];
	bool was = p->stall.still;
	uint64_t next = pfk__stall_look(&p->stall, p->waiting, beat(p),
	    pfk_loop_now(m->loop));

	if (p->stall.still && !was)
		pfk_log(PFK_DEBUG,
		    "slot %d: clients wait in its queue, and its worker's "
		    "loop does not turn",
		    slot);
	if (next == 0)
		pfk__custody_rearm(&m->custody, slot);
	return next;
}

static void
on_sample(void *arg)
{
	struct pfk__master *m = arg;
	uint64_t now = pfk_loop_now(m->loop), next = UINT64_MAX;

	if (m->stop != PFK__STOP_NONE)
		return;
	look_at_queues(m);
	for (int i = 0; i < m->places_top; i++) {
		uint64_t due = look_at(m, i);

		if (due != 0 && due < next)
			next = due;
	}
	pfk__adopt_maintain(m);
	if (next != UINT64_MAX)
		pfk_timer_set(&m->sample, m->loop, next - now, on_sample, m);
}

void
pfk__adopt_queued(void *arg, int slot)
{
	struct pfk__master *m = arg;
	struct pfk__place *p = &m->places[slot];

	pfk__broken_look(m, slot);
	pfk__stall_queued(&p->stall, beat(p), pfk_loop_now(m->loop));
	if (m->sample == NULL)
		pfk_timer_set(&m->sample, m->loop, PFK__PATIENCE_NS, on_sample,
		    m);
}
