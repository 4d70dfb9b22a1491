/*
 * retire.c: get rid of the sockets of slots that a smaller count gave up.
 *
 * Layer: process.  A sibling has adopted them, so nobody is lost; but the
 * kernel goes on filling them, and the load is uneven.  So new clients are
 * steered to the slots that stay, and when handshakes under way have had their
 * time and the queues are empty, the sockets are closed.  Steering goes on for a
 * while: until the adopter has closed its duplicate as well, the kernel would
 * put new clients into a queue that is about to go.
 *
 * Steering is by a socket's index in its group, which is the order of opening.
 * First boots happen one after the other (master.c), so that custody is in
 * that order.  A boot that fails in a reload spoils it for the addresses that
 * are new; where the surplus is not at the end, adoption has to do, until it
 * is.
 */
#include <errno.h>

#include "net/steer.h"
#include "process/master.h"

/* A handshake has so long: a few round trips, and a lost segment. */
#define GRACE_NS (3 * PFK_SECOND_NS)
#define LOOK_NS (100 * PFK_MSEC_NS)

static void look(void *arg);

static bool
same_group(const struct pfk__lent *a, const struct pfk__lent *b)
{
	return a->kind == b->kind && pfk_addr_equal(&a->asked, &b->asked);
}

static bool
is_surplus(const struct pfk__master *m, const struct pfk__lent *l)
{
	return l->slot >= m->workers;
}

static bool
any_surplus(const struct pfk__master *m)
{
	for (size_t i = 0; i < m->custody.len; i++) {
		if (is_surplus(m, m->custody.lent[i]))
			return true;
	}
	return false;
}

/* How many members stay; 0 where they are not the first of the group. */
static uint32_t
members_that_stay(const struct pfk__master *m, const struct pfk__lent *of)
{
	bool surplus_seen = false;
	uint32_t n = 0;

	for (size_t i = 0; i < m->custody.len; i++) {
		const struct pfk__lent *l = m->custody.lent[i];

		if (!same_group(l, of))
			continue;
		if (is_surplus(m, l))
			surplus_seen = true;
		else if (surplus_seen)
			return 0;
		else
			n++;
	}
	return n;
}

static bool
can_go(const struct pfk__master *m, const struct pfk__lent *l)
{
	return is_surplus(m, l) && members_that_stay(m, l) > 0;
}

static bool
any_can_go(const struct pfk__master *m)
{
	for (size_t i = 0; i < m->custody.len; i++) {
		if (can_go(m, m->custody.lent[i]))
			return true;
	}
	return false;
}

/* Slot 0 is always a member. */
static void
steer_all(struct pfk__master *m, bool steer)
{
	for (size_t i = 0; i < m->custody.len; i++) {
		const struct pfk__lent *l = m->custody.lent[i];
		uint32_t n = members_that_stay(m, l);

		if (l->slot != 0)
			continue;
		if (steer && n > 0 &&
		    pfk__steer(l->fd, l->kind, l->asked.sa.sa_family, n) == -1)
			pfk_log(PFK_DEBUG, "cannot steer: errno %d", errno);
		if (!steer)
			pfk__unsteer(l->fd);
	}
}

/* Who adopted such a slot closes all of it; what is left is adopted anew. */
static void
close_surplus(struct pfk__master *m)
{
	for (size_t i = m->custody.len; i-- > 0;) {
		int slot = m->custody.lent[i]->slot;

		if (can_go(m, m->custody.lent[i])) {
			pfk__custody_drop(&m->custody, i);
			pfk__adopt_release(m, slot);
		}
	}
	pfk__adopt_maintain(m);
}

static bool
surplus_is_empty(const struct pfk__master *m)
{
	for (int i = m->workers; i < m->places_top; i++) {
		if (m->places[i].serving != NULL)
			return false;
	}
	for (size_t i = 0; i < m->custody.len; i++) {
		const struct pfk__lent *l = m->custody.lent[i];

		if (can_go(m, l) && pfk__custody_queued(l))
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
		    "%d worker%s still serve%s sockets of slots given up: they "
		    "are not the last of their group",
		    m->workers, plural, m->workers == 1 ? "s" : "");
	else
		pfk_log(PFK_INFO, "the sockets of %d worker%s serve alone",
		    m->workers, plural);
}

/* By now nobody has the closed ones open any more. */
static void
let_go(void *arg)
{
	struct pfk__master *m = arg;

	m->retire = NULL;
	m->letting_go = false;
	pfk__retire_maintain(m);
}

static void
look(void *arg)
{
	struct pfk__master *m = arg;

	m->retire = NULL;
	if (surplus_is_empty(m)) {
		close_surplus(m);
		log_end(m);
		m->letting_go = true;
		m->retire = pfk_later(m->loop, GRACE_NS, let_go, m);
		return;
	}
	m->retire = pfk_later(m->loop, LOOK_NS, look, m);
}

void
pfk__retire_maintain(struct pfk__master *m)
{
	int wanted = any_surplus(m) ? m->workers : 0;

	if (wanted == m->steered && (m->retire != NULL || !any_can_go(m)))
		return;
	if (wanted == 0 && m->letting_go)
		return;
	m->letting_go = false;
	m->steered = wanted;
	pfk_timer_cancel(&m->retire);
	steer_all(m, wanted > 0);
	if (wanted > 0)
		m->retire = pfk_later(m->loop, GRACE_NS, look, m);
}
