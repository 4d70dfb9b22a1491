/*
 * drain.c: take one worker out of service by order, and in again.
 *
 * Layer: process.  The slot keeps its sockets in custody, and a sibling adopts
 * them as for a slot that waits in back-off.  Its connections go to siblings if
 * their protocol can be handed over.  A reload and another number of workers end
 * all drains.
 */
#include <stdlib.h>
#include <sysexits.h>

#include "process/control.h"
#include "process/master.h"

/* Workers that would serve without the one of the slot. */
static int
others(const struct pfk__master *m, int slot)
{
	int n = 0;

	for (int i = 0; i < m->workers; i++)
		n += i != slot && m->places[i].serving != NULL &&
		    !m->places[i].drained;
	return n;
}

static const char *
obstacle(const struct pfk__master *m, int slot, bool drain)
{
	if (m->stop != PFK__STOP_NONE)
		return "the service is stopping";
	if (!m->started || m->reload != PFK__RELOAD_SETTLED)
		return "a start or a reload is under way; try again";
	if (drain && others(m, slot) == 0)
		return "no other worker serves; stop ends the service";
	return NULL;
}

void
pfk__drain_order(struct pfk__client *c, const char *argument, bool drain)
{
	struct pfk__master *m = c->control->master;
	const char *errstr = "missing", *why;
	int slot = 0;

	if (argument != NULL)
		slot = (int)strtonum(argument, 0, m->workers - 1, &errstr);
	if (errstr != NULL) {
		pfk__client_fail(c, EX_USAGE,
		    "the slot is %s; it takes 0 to %d", errstr, m->workers - 1);
		return;
	}
	why = obstacle(m, slot, drain);
	if (why != NULL) {
		pfk__client_fail(c, EX_TEMPFAIL, "%s", why);
		return;
	}
	if (m->places[slot].drained != drain)
		pfk_log(PFK_INFO,
		    drain ? "draining slot %d by order"
			  : "slot %d serves again by order",
		    slot);
	m->places[slot].drained = drain;
	pfk__client_wait(c, drain ? PFK__WISH_DRAIN : PFK__WISH_UNDRAIN,
	    (uint64_t)slot);
	pfk__master_wake(m);
}

void
pfk__drains_end(struct pfk__master *m)
{
	for (int i = 0; i < m->places_top; i++)
		m->places[i].drained = false;
}

static bool
is_empty(const struct pfk__master *m, int slot)
{
	const struct pfk__child *child;

	LIST_FOREACH(child, &m->children, link) {
		if (child->slot == slot)
			return false;
	}
	return true;
}

void
pfk__drain_maintain(struct pfk__client *c)
{
	const struct pfk__master *m = c->control->master;
	int slot = (int)c->number;
	const struct pfk__place *p = &m->places[slot];
	bool drain = c->wish == PFK__WISH_DRAIN;

	if (p->drained != drain) {
		pfk__client_fail(c, EX_TEMPFAIL,
		    "overtaken: another order has changed slot %d", slot);
	} else if (drain && is_empty(m, slot)) {
		if (p->adopter != NULL)
			pfk__client_done(c,
			    "drained slot %d: worker %d serves its queue", slot,
			    p->adopter->slot);
		else
			pfk__client_done(c, "drained slot %d", slot);
	} else if (!drain && p->serving != NULL) {
		pfk__client_done(c, "slot %d serves", slot);
	} else if (!drain && p->slot.state == PFK__SLOT_BACKOFF) {
		pfk__client_fail(c, EX_SOFTWARE,
		    "worker %d keeps dying or does not start; the log has the "
		    "cause",
		    slot);
	}
}
