/*
 * surplus.c: close the sockets of slots that a smaller count gave up.
 *
 * Layer: process.  A sibling has adopted them, so that no client is lost; but
 * the kernel goes on filling them, and the load is uneven.  So new clients are
 * steered to the slots that stay, and when no handshake is under way that was
 * before and the queues are empty, the sockets are closed.  Steering goes on for
 * a while: until the adopter has closed its duplicate as well, and the service
 * manager its own (store.c), the kernel would put new clients into a queue that is
 * about to go.
 *
 * Steering is by a socket's index in its group, which is the order of opening.
 * First boots happen one after the other (master.c), so that the slots' order
 * is that of opening.  A boot that fails in a reload spoils it for the addresses
 * that are new; where the surplus is not at the end, adoption has to do, until
 * it is.
 */
#include <errno.h>
#include <string.h>

#include "net/handshakes.h"
#include "net/steer.h"
#include "process/master.h"

/* After this a handshake that began before the steering is listed. */
#define GRACE_NS (3 * PFK_SECOND_NS)
#define LOOK_NS (100 * PFK_MSEC_NS)
/* The longest wait for an adopter that stands still. */
#define ADOPTERS_NS (60 * PFK_SECOND_NS)

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
			if (l->opened_ns < first_surplus)
				first_surplus = l->opened_ns;
		} else {
			if (l->opened_ns > last_stay)
				last_stay = l->opened_ns;
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

bool
pfk__surplus_stays(const struct pfk__master *m)
{
	for (int i = m->workers; i < m->places_top; i++) {
		if (m->places[i].serving != NULL)
			return false;
	}
	return m->surplus == NULL && any_surplus(m) && !any_can_go(m);
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
			pfk_log(PFK_DEBUG,
			    "cannot steer new clients to the slots that stay: "
			    "%s",
			    strerror(errno));
	}
}

void
pfk__surplus_steer(struct pfk__master *m)
{
	steer_all(m, true);
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

/* Whether the address is that of a group that loses members. */
static bool
is_of_surplus(void *arg, const struct pfk_addr *local)
{
	const struct pfk__master *m = arg;
	struct group g;

	for (bool more = first_group(m, &g); more; more = next_group(m, &g)) {
		if (g.can_go && g.first->kind == PFK_TCP &&
		    pfk_addr_port(&g.first->bound) == pfk_addr_port(local))
			return true;
	}
	return false;
}

/*
 * Whether a handshake is under way that may be one of a surplus socket: closed,
 * it would reset the client.  Later ones are not, because of the steering.  If
 * the kernel does not tell, only the time that it has for one can.
 */
static bool
in_handshake(struct pfk__master *m)
{
	struct pfk__handshakes now = {0};
	bool any = true;

	if (pfk_loop_now(m->loop) >= m->handshakes_end_ns)
		return false;
	if (pfk__handshakes_read(&now, is_of_surplus, m) == -1) {
		pfk_log(PFK_DEBUG,
		    "cannot list the handshakes with removed slots: %s",
		    strerror(errno));
	} else if (m->handshakes_known) {
		any = pfk__handshakes_meet(&m->handshakes, &now);
	} else {
		m->handshakes = now;
		m->handshakes_known = true;
		return now.n > 0;
	}
	pfk__handshakes_free(&now);
	return any;
}

static void
forget_handshakes(struct pfk__master *m)
{
	pfk__handshakes_free(&m->handshakes);
	m->handshakes_known = false;
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

/*
 * The adopters have closed their duplicates, or one of them stands still for so long
 * that it is up to the watch, and the service manager has closed its own: stop
 * steering.
 */
static void
let_go(void *arg)
{
	struct pfk__master *m = arg;
	uint64_t waited = pfk_loop_now(m->loop) - m->letting_go_ns;

	/* Their copies, and those in its store, would go on to be filled. */
	if (!pfk__store_settled(m) ||
	    (waited < ADOPTERS_NS && !pfk__adopt_released(m))) {
		pfk_timer_set(&m->surplus, m->loop, LOOK_NS, let_go, m);
		return;
	}
	m->letting_go_ns = 0;
	pfk__surplus_maintain(m);
	/* An upgrade may have waited for it. */
	pfk__master_wake(m);
}

static void
look(void *arg)
{
	struct pfk__master *m = arg;

	if (!in_handshake(m) && surplus_is_empty(m)) {
		forget_handshakes(m);
		close_surplus(m);
		pfk__store_maintain(m);
		log_end(m);
		m->letting_go_ns = pfk_loop_now(m->loop);
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
	if (wanted == 0 && m->letting_go_ns != 0)
		return;
	m->letting_go_ns = 0;
	m->steered = wanted;
	pfk_timer_cancel(&m->surplus);
	steer_all(m, wanted > 0);
	forget_handshakes(m);
	m->handshakes_end_ns = pfk_loop_now(m->loop) +
	    pfk__handshakes_longest_ns();
	if (wanted > 0)
		pfk_timer_set(&m->surplus, m->loop, GRACE_NS, look, m);
}
