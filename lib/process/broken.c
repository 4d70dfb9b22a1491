/*
 * broken.c: replace listeners that somebody has shut down, or spoilt.
 *
 * Layer: process.  After ss -K, or shutdown(2) by any process that has the
 * socket, it is broken for good, and so are all duplicates of it.  The slot's
 * worker is replaced: its successor opens the listener anew (listen.c), with the
 * rights that a worker has before it drops privileges, and takes the connections
 * over.
 *
 * A worker can do worse to the sockets that it has, and it outlives the worker:
 * clear O_NONBLOCK, attach a filter or a program that steers clients, lock it.
 * So when a worker has ended, the master restores the options that it can
 * (reclaim); the other sockets count as broken.
 *
 * One slot after the other, from the first on, so that the order of opening
 * stays that of the slots (surplus.c).
 */
#include "net/listener.h"
#include "net/steer.h"
#include "process/master.h"

void
pfk__broken_look(struct pfk__master *m, int slot)
{
	struct pfk__place *p = &m->places[slot];

	if (p->broken || pfk__custody_first_broken(&m->custody, slot) == NULL)
		return;
	p->broken = true;
	pfk__master_wake(m);
}

static void
reclaim(struct pfk__master *m, int slot)
{
	const struct pfk__lent *l;

	for (l = pfk__custody_first(&m->custody, slot); l != NULL;
	     l = pfk__custody_next(l)) {
		pfk__listener_reclaim(l->fd);
		if (m->steered == 0)
			pfk__unsteer(l->fd);
	}
	pfk__broken_look(m, slot);
}

void
pfk__broken_reclaim(struct pfk__master *m, const struct pfk__child *c)
{
	if (m->stop != PFK__STOP_NONE)
		return;
	for (int i = 0; i < m->places_top; i++) {
		if (i == c->slot || c->adopted)
			reclaim(m, i);
	}
	if (m->steered != 0)
		pfk__surplus_steer(m);
}

static void
replace(struct pfk__master *m, const struct pfk__lent *l)
{
	const struct pfk__child *c = m->places[l->slot].serving;
	const char *why = pfk__listener_fault(l->fd, l->kind);
	char name[PFK_ADDR_SIZE];

	pfk_log(PFK_WARNING,
	    "worker %d (%d): its listener %s %s %s; replacing the worker, whose "
	    "successor opens it anew",
	    l->slot, (int)pfk__child_pid(c), pfk__kind_name(l->kind),
	    pfk_addr_format(name, &l->bound), why != NULL ? why : "is broken");
	pfk__master_step(m, l->slot, PFK__SLOT_RENEW);
}

/* A slot that is not wanted needs no other listener; nothing is in its queue. */
static void
drop_unwanted(struct pfk__master *m)
{
	struct pfk__lent *l, *next;

	for (int i = m->workers; i < m->places_top; i++) {
		if (!m->places[i].broken || m->places[i].serving != NULL)
			continue;
		for (l = pfk__custody_first(&m->custody, i); l != NULL;
		     l = next) {
			next = pfk__custody_next(l);
			if (pfk__custody_broken(l))
				pfk__custody_drop(l);
		}
		pfk__adopt_release(m, i);
		m->places[i].broken = false;
	}
}

void
pfk__broken_maintain(struct pfk__master *m)
{
	drop_unwanted(m);
	for (int i = 0; i < m->workers; i++) {
		struct pfk__place *p = &m->places[i];
		const struct pfk__lent *l;

		if (!p->broken)
			continue;
		l = pfk__custody_first_broken(&m->custody, i);
		p->broken = l != NULL;
		if (l == NULL || p->slot.renew)
			continue;
		if (p->slot.state == PFK__SLOT_SERVING && m->started)
			replace(m, l);
		if (p->slot.state != PFK__SLOT_BACKOFF)
			return;
	}
}
