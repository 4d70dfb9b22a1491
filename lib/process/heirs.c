/*
 * heirs.c: find heirs for the connections of a worker that leaves.
 *
 * Layer: process.  A successor takes all of its predecessor's connections.  If
 * there is none, or it has all the connections that it may have, all siblings
 * with room share them.  The ones that nobody takes, because all are full or an
 * heir dies meanwhile, stay with the worker that leaves, and it says so; they
 * are offered again until it has none.  So are those whose protocols were busy.
 */
#include <unistd.h>

#include "base/received.h"
#include "process/master.h"
#include "process/takeover.h"

/* Heirs at a time; others come with the next offer. */
#define HEIRS_MAX 16
#define OFFER_AGAIN_NS (200 * PFK_MSEC_NS)

bool
pfk__heirs_can_take(const struct pfk__child *c)
{
	const struct pfk__place *p = &c->master->places[c->slot];

	return c->channel != -1 && c->version == PFK__KNOCK_VERSION &&
	    !(p->serving == c && p->stall.still) &&
	    __atomic_load_n(&c->pulse.page->full, __ATOMIC_RELAXED) == 0;
}

/* Whether its packets are. */
static bool
is_understood(const struct pfk__child *c)
{
	return c->version >= 1 && c->version <= PFK__KNOCK_VERSION;
}

/* Returns how many there are. */
static int
find_heirs(const struct pfk__child *c, struct pfk__child **heirs)
{
	const struct pfk__master *m = c->master;
	struct pfk__child *own = m->places[c->slot].serving;
	int n = 0;

	if (!is_understood(c))
		return 0;
	if (own != NULL && pfk__heirs_can_take(own)) {
		heirs[n++] = own;
		return n;
	}
	for (int i = 1; i <= m->workers && n < HEIRS_MAX; i++) {
		int k = (c->slot + i) % m->workers;
		struct pfk__child *h = m->places[k].serving;

		if (h != NULL && h != own && pfk__heirs_can_take(h))
			heirs[n++] = h;
	}
	/* Its own one takes more than it may have, rather than nobody. */
	if (n == 0 && own != NULL)
		heirs[n++] = own;
	return n;
}

/* The giver's end of a hand-over channel from c to the heir, or -1. */
static int
open_handover(const struct pfk__child *c, struct pfk__child *heir)
{
	struct pfk__message msg = {.type = PFK__MSG_TAKE,
	    .owner = c->slot,
	    .status = c->version};
	int fds[2];

	if (pfk__channel_pair(fds) == -1)
		return -1;
	/* The giver gets answers alone; in its sandbox it cannot say so. */
	pfk__receive_none(fds[0]);
	if (pfk__child_tell(heir, &msg, fds[1]) == 0) {
		heir->receiving++;
	} else {
		close(fds[0]);
		fds[0] = -1;
	}
	close(fds[1]);
	return fds[0];
}

void
pfk__heirs_offer(struct pfk__child *c)
{
	struct pfk__message msg = {.type = PFK__MSG_GIVE};
	struct pfk__child *heirs[HEIRS_MAX];
	int n = find_heirs(c, heirs);

	/*
	 * Without an heir the order has no channel: c answers with the number
	 * that it keeps.
	 */
	if (n == 0)
		pfk__child_tell(c, &msg, -1);
	for (int i = 0; i < n; i++) {
		int fd = open_handover(c, heirs[i]), rc;

		msg.status = n - 1 - i;
		rc = pfk__child_tell(c, &msg, fd);
		/* Nobody else has it, and the heir may have sent something. */
		if (fd != -1 && rc == -1)
			pfk__close_emptied(fd);
		else if (fd != -1)
			close(fd);
	}
}

static void
offer_again(struct pfk__child *c)
{
	struct pfk__child *heirs[HEIRS_MAX];

	if (find_heirs(c, heirs) > 0) {
		if (!c->again_logged && c->kept > 0)
			pfk_log(PFK_INFO,
			    "worker %d (%d) is leaving, and still has %d "
			    "connections, because an heir has ended or is "
			    "full; handing them over again",
			    c->slot, (int)pfk__child_pid(c), c->kept);
		c->again_logged |= c->kept > 0;
		c->kept = c->later = 0;
		pfk__heirs_offer(c);
	} else if (!c->kept_logged && c->kept > 0 && c->master->started) {
		c->kept_logged = true;
		pfk_log(PFK_WARNING,
		    "worker %d (%d) is leaving, but keeps %d connection%s until "
		    "%s",
		    c->slot, (int)pfk__child_pid(c), c->kept,
		    c->kept == 1 ? "" : "s",
		    is_understood(c)
			? "another worker has room for them; raise "
			  "--max-connections or start more workers"
			: "they end: its program is newer than this one, "
			  "which cannot take them");
	}
}

static void
on_offer(void *arg)
{
	struct pfk__master *m = arg;
	struct pfk__child *c;
	bool any = false;

	if (m->stop != PFK__STOP_NONE)
		return;
	LIST_FOREACH(c, &m->children, link) {
		if (c->kept + c->later > 0 && !c->retire_wanted)
			offer_again(c);
		any = any || c->kept + c->later > 0;
	}
	if (any)
		pfk_timer_set(&m->heirs, m->loop, OFFER_AGAIN_NS, on_offer, m);
}

static void
arm(struct pfk__master *m)
{
	if (m->heirs == NULL)
		pfk_timer_set(&m->heirs, m->loop, OFFER_AGAIN_NS, on_offer, m);
}

void
pfk__heirs_kept(struct pfk__child *c, int n)
{
	c->kept = n;
	if (n > 0)
		arm(c->master);
}

void
pfk__heirs_later(struct pfk__child *c, int n)
{
	c->later = n;
	if (n > 0)
		arm(c->master);
}
