/*
 * retire.c: order workers to leave, and end those that do not.
 *
 * Layer: process.  A retired worker accepts no more and gives its connections to
 * its heirs (heirs.c).  The order waits while it is being given connections
 * itself.  One that has not ended long after its time to drain, or after many
 * reloads where it has no such time, is killed, because a worker that only says
 * that it leaves would serve its queue for ever.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "process/master.h"

/* Beyond its own time to drain; then a worker is killed. */
#define LEAVE_GRACE_NS (2 * PFK_SECOND_NS)

/*
 * The most reloads that it stays over without such a time, and the shortest time that it
 * has all the same, because reloads may follow each other faster than heirs for its
 * connections are found.
 */
#define RELOADS_MAX 8
#define RELOADS_NS PFK_SECOND_NS

static void
kill_leaving(struct pfk__child *c)
{
	strlcpy(c->cause, "it did not leave in time, so the master killed it",
	    sizeof(c->cause));
	pfk__child_signal(c, SIGKILL);
}

static void
on_bound(void *arg)
{
	struct pfk__child *c = arg;
	uint64_t since = pfk_loop_now(c->master->loop) - c->leaving_ns;

	pfk_log(PFK_WARNING,
	    "worker %d (%d) is still leaving after %.1f s, more than its time "
	    "to drain; killing it",
	    c->slot, (int)pfk__child_pid(c), (double)since / PFK_SECOND_NS);
	kill_leaving(c);
}

static void
bound_leaving(struct pfk__child *c)
{
	uint64_t ns = c->master->config.drain_ns;

	if (c->leaving_ns == 0)
		c->leaving_ns = pfk_loop_now(c->master->loop);
	if (ns > 0 && c->bound == NULL)
		pfk_timer_set(&c->bound, c->master->loop, ns + LEAVE_GRACE_NS,
		    on_bound, c);
}

bool
pfk__retire_clinging(struct pfk__child *c)
{
	const char *kept = pfk__leaver_keeps(c);

	if (kept == NULL)
		return false;
	pfk_log(PFK_WARNING,
	    "worker %d (%d) is leaving and keeps %s; killing it", c->slot,
	    (int)pfk__child_pid(c), kept);
	snprintf(c->cause, sizeof(c->cause),
	    "it kept %s as it left, so the master killed it", kept);
	pfk__child_signal(c, SIGKILL);
	return true;
}

/* A worker without a bound of time: it is still there after another reload. */
static void
count_reload(struct pfk__child *c)
{
	uint64_t ns = pfk_loop_now(c->master->loop) - c->leaving_ns;
	double since = (double)ns / PFK_SECOND_NS;

	if (pfk__retire_clinging(c))
		return;
	if (c->bound != NULL || ++c->outlived <= RELOADS_MAX ||
	    ns < RELOADS_NS) {
		pfk_log(PFK_WARNING,
		    "worker %d (%d) has been leaving for %.0f s, since before "
		    "this reload; set --drain-timeout to bound this time",
		    c->slot, (int)pfk__child_pid(c), since);
		return;
	}
	pfk_log(PFK_WARNING,
	    "worker %d (%d) has been leaving for %.0f s, over more than %d "
	    "reloads; killing it",
	    c->slot, (int)pfk__child_pid(c), since, RELOADS_MAX);
	kill_leaving(c);
}

void
pfk__children_count_reload(struct pfk__master *m)
{
	struct pfk__child *c;

	LIST_FOREACH(c, &m->children, link) {
		if (c->leaving_ns != 0 && c->leaving_ns < m->reload_ns)
			count_reload(c);
	}
}

static void
order_drain(struct pfk__child *c)
{
	struct pfk__message msg = {.type = PFK__MSG_DRAIN,
	    .how = PFK_DRAIN_LEAVE,
	    .ns = c->master->config.drain_ns};

	pfk__child_tell(c, &msg, -1);
	pfk_log(PFK_INFO, "worker %d (%d) is leaving", c->slot,
	    (int)pfk__child_pid(c));
	c->kept = c->later = 0;
	pfk__leaver_watch(c);
	pfk__heirs_offer(c);
}

/*
 * While c is being given connections itself, the drain waits, because c could
 * not receive the connections that are still on their way.
 */
void
pfk__child_retire(struct pfk__child *c)
{
	struct pfk__place *p = &c->master->places[c->slot];

	c->phase = PFK__PHASE_LEAVING;
	if (p->serving == c)
		p->serving = NULL;
	pfk__adopt_forget(c->master, c);
	c->retire_wanted = c->receiving > 0;
	bound_leaving(c);
	if (!c->retire_wanted)
		order_drain(c);
}

void
pfk__child_repeat(struct pfk__child *c)
{
	struct pfk__master *m = c->master;
	struct pfk__message msg = {.type = PFK__MSG_DRAIN,
	    .how = PFK_DRAIN_STOP,
	    .ns = m->config.shutdown_ns};

	/* The ways by which it was given connections died with it. */
	c->receiving = 0;
	if (m->stop == PFK__STOP_FAST)
		pfk__child_signal(c, SIGINT);
	else if (m->stop != PFK__STOP_NONE)
		pfk__child_tell(c, &msg, -1);
	else if (c->phase == PFK__PHASE_LEAVING)
		pfk__child_retire(c);
}

void
pfk__children_retire_deferred(struct pfk__master *m)
{
	struct pfk__child *c;

	if (!m->drains_due)
		return;
	m->drains_due = false;
	LIST_FOREACH(c, &m->children, link) {
		if (!c->retire_wanted || c->receiving > 0)
			continue;
		/* Its time to drain begins now. */
		pfk_timer_cancel(&c->bound);
		pfk__child_retire(c);
	}
}
