/*
 * surplus.c: close the sockets of slots that a smaller count gave up.
 *
 * Layer: process.  A sibling has adopted them, so that no client is lost; but
 * the kernel goes on filling them, and the load is uneven.  So new clients are
 * steered to the slots that stay, and when handshakes under way have had their
 * time and the queues are empty, the sockets are closed.  Steering goes on for a
 * while: until the adopter has closed its duplicate as well, the kernel would
 * put new clients into a queue that is about to go.
 *
 * Steering is by a socket's index in its group, which is the order of opening.
 * First boots happen one after the other (master.c), so that the slots' order
 * is that of opening.  A boot that fails in a reload spoils it for the addresses
 * that are new; where the surplus is not at the end, adoption has to do, until
 * it is.
 */
#include <errno.h>
#include <string.h>

#include "net/steer.h"
#include "process/master.h"

/* A handshake has so long: a few round trips, and a lost segment. */
#define GRACE_NS (3 * PFK_SECOND_NS)
#define LOOK_NS (100 * PFK_MSEC_NS)

/* One group of sockets, in respect of the slots that are wanted. */
struct group {
	struct pfk__lent *first;
	struct pfk__lent *end; /* the next group's first, or NULL */
	uint32_t stay; /* members of wanted slots; 0: they are not the first */
	bool can_go;   /* it has a surplus, behind the members that stay */
};

static void look(void *arg);

static bool
is_surplus(const struct pfk__master *m, const struct pfk__lent *l)
{
	return l->slot >= m->workers;
}

static bool
any_surplus(const struct pfk__master *m)
{
	for (int i = m->workers; i < m->places_top; i++) {
		if (pfk__custody_count(&m->custody, i) > 0)
			return true;
	}
	return false;
}

/* The group that begins with the entry; false: NULL, there is none. */
static bool
read_group(const struct pfk__master *m, struct pfk__lent *first,
    struct group *g)
{
	uint64_t last_stay = 0, first_surplus = UINT64_MAX;
	struct pfk__lent *l = first;

	*g = (struct group){.first = first};
	if (first == NULL)
		return false;
	for (; l != NULL && pfk__custody_same_group(l, first);
	     l = pfk__custody_next_of_all(l)) {
		if (is_surplus(m, l)) {
			if (l->order < first_surplus)
				first_surplus = l->order;
		} else {
			if (l->order > last_stay)
				last_stay = l->order;
			g->stay++;
		}
	}
	g->end = l;
	if (last_stay > first_surplus)
		g->stay = 0;
	g->can_go = g->stay > 0 && first_surplus != UINT64_MAX;
	return true;
}

static bool
first_group(const struct pfk__master *m, struct group *g)
{
	return read_group(m, pfk__custody_first_of_all(&m->custody), g);
}

static bool
next_group(const struct pfk__master *m, struct group *g)
{
	return read_group(m, g->end, g);
}

static bool
any_can_go(const struct pfk__master *m)
{
	struct group g;

	if (!any_surplus(m))
		return false;
	for (bool more = first_group(m, &g); more; more = next_group(m, &g)) {
		if (g.can_go)
			return true;
	}
	return false;
}

/* Slot 0 is in every group, so that its socket carries the group's filter. */
static void
steer_all(struct pfk__master *m, bool steer)
{
	struct group g;

	for (bool more = first_group(m, &g); more; more = next_group(m, &g)) {
		const struct pfk__lent *l = g.first;

		if (l->slot != 0)
			continue;
		if (!steer)
			pfk__unsteer(l->fd);
		else if (g.stay > 0 &&
		    pfk__steer(l->fd, l->kind, l->asked.sa.sa_family, g.stay) ==
			-1)
			pfk_log(PFK_DEBUG, "cannot steer: %s", strerror(errno));
	}
}

static void
close_group(struct pfk__master *m, const struct group *g)
{
	struct pfk__lent *l, *next;

	for (l = g->first; l != g->end; l = next) {
		int slot = l->slot;

		next = pfk__custody_next_of_all(l);
		if (!is_surplus(m, l))
			continue;
		pfk__custody_drop(l);
		pfk__adopt_release(m, slot);
	}
}

/* An adopter closes all of a slot; the rest is adopted anew. */
static void
close_surplus(struct pfk__master *m)
{
	struct group g;

	for (bool more = first_group(m, &g); more; more = next_group(m, &g)) {
		if (g.can_go)
			close_group(m, &g);
	}
	pfk__adopt_maintain(m);
}

static bool
group_is_empty(const struct pfk__master *m, const struct group *g)
{
	const struct pfk__lent *l;

	for (l = g->first; l != g->end; l = pfk__custody_next_of_all(l)) {
		if (is_surplus(m, l) && pfk__custody_queued(l))
			return false;
	}
	return true;
}

static bool
surplus_is_empty(const struct pfk__master *m)
{
	struct group g;

	for (int i = m->workers; i < m->places_top; i++) {
		if (m->places[i].serving != NULL)
			return false;
	}
	for (bool more = first_group(m, &g); more; more = next_group(m, &g)) {
		if (g.can_go && !group_is_empty(m, &g))
			return false;
	}
	return true;
}

static void
log_end(const struct pfk__master *m)
{
	const char *plural = m->workers == 1 ? "" : "s";

	if (any_surplus(m))
		pfk_log(PFK_INFO,
		    "listeners of removed slots stay open (not last in their "
		    "group); %d worker%s serve%s them",
		    m->workers, plural, m->workers == 1 ? "s" : "");
	else
		pfk_log(PFK_INFO,
		    "closed the listeners of removed slots; %d worker%s left",
		    m->workers, plural);
}

/* The adopters have closed their duplicates: stop steering. */
static void
let_go(void *arg)
{
	struct pfk__master *m = arg;

	m->letting_go = false;
	pfk__surplus_maintain(m);
}

static void
look(void *arg)
{
	struct pfk__master *m = arg;

	if (surplus_is_empty(m)) {
		close_surplus(m);
		log_end(m);
		m->letting_go = true;
		pfk_timer_set(&m->surplus, m->loop, GRACE_NS, let_go, m);
		return;
	}
	pfk_timer_set(&m->surplus, m->loop, LOOK_NS, look, m);
}

void
pfk__surplus_maintain(struct pfk__master *m)
{
	int wanted = any_surplus(m) ? m->workers : 0;

	if (wanted == m->steered && (m->surplus != NULL || !any_can_go(m)))
		return;
	if (wanted == 0 && m->letting_go)
		return;
	m->letting_go = false;
	m->steered = wanted;
	pfk_timer_cancel(&m->surplus);
	steer_all(m, wanted > 0);
	if (wanted > 0)
		pfk_timer_set(&m->surplus, m->loop, GRACE_NS, look, m);
}
