/*
 * watch.c: look for workers whose loops stand still.
 *
 * Layer: process.
 */
#include <signal.h>
#include <stdio.h>

#include "process/master.h"

static void
look_at(struct pfk__child *c, uint64_t now)
{
	uint64_t still = now - c->pulse.seen_ns;

	switch (pfk__pulse_judge(&c->pulse, now, c->hang_ns)) {
	case PFK__VERDICT_ALIVE:
		return;
	case PFK__VERDICT_HUNG:
		pfk_log(PFK_ERROR,
		    "worker %d (%d) hangs: its loop has stood still for "
		    "%llu ms; aborting it",
		    c->slot, (int)pfk__child_pid(c),
		    (unsigned long long)(still / PFK_MSEC_NS));
		snprintf(c->cause, sizeof(c->cause),
		    "its loop stood still for %llu ms, so the master aborted "
		    "it",
		    (unsigned long long)(still / PFK_MSEC_NS));
		pfk__child_signal(c, SIGABRT);
		return;
	case PFK__VERDICT_LOST:
		kill(pfk__child_pid(c), SIGKILL);
		return;
	}
}

static void
on_watch(void *arg)
{
	struct pfk__master *m = arg;
	uint64_t now = pfk_loop_now(m->loop);
	struct pfk__child *c;
	/* If we were late ourselves, nobody else can be blamed. */
	bool late = now - m->watched_ns > m->config.hang_ns / 2;

	LIST_FOREACH(c, &m->children, link) {
		if (late)
			pfk__pulse_excuse(&c->pulse, now);
		look_at(c, now);
	}
	pfk__watch_start(m);
}

void
pfk__watch_start(struct pfk__master *m)
{
	m->watched_ns = pfk_loop_now(m->loop);
	pfk_timer_cancel(&m->watch);
	if (m->config.hang_ns > 0)
		pfk_timer_set(&m->watch, m->loop, m->config.hang_ns / 4,
		    on_watch, m);
}
