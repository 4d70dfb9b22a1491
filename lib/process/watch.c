/*
 * watch.c: look for workers with a loop that stands still.
 *
 * Layer: process.  A worker that hangs is aborted.  Long before that, one that
 * clients wait for gets a successor if no sibling serves for it, as where there
 * is only one worker.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/state.h"
#include "process/master.h"

/* A worker that stands still is looked at so often, at least. */
#define LOOK_NS (500 * PFK_MSEC_NS)
/* Its part of the hang limit after which a worker without help has a successor. */
#define ALONE_PART 4

static bool
is_traced(pid_t pid)
{
	char path[40], line[128];
	int tracer = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "TracerPid: %d", &tracer) == 1)
			break;
	}
	fclose(f);
	return tracer != 0;
}

/* CPU time that the process has used, ever; false: there is none. */
static bool
cpu_time(pid_t pid, uint64_t *ns)
{
	struct timespec ts;
	clockid_t id;

	if (clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &ts) == -1)
		return false;
	*ns = (uint64_t)ts.tv_sec * PFK_SECOND_NS + (uint64_t)ts.tv_nsec;
	return true;
}

/* False: there is no /proc, or no such process. */
static bool
ask_kernel(pid_t pid, struct pfk__look *look)
{
	look->state = pfk__process_state(pid);
	if (look->state == '?' || !cpu_time(pid, &look->cpu_ns))
		return false;
	look->traced = is_traced(pid);
	return true;
}

/*
 * An idle loop stands still for seconds, too.  Its CPU time is known without files,
 * which thousands of workers would have the master read each second.
 */
static bool
may_hang(struct pfk__child *c, uint64_t now)
{
	uint64_t still = pfk__pulse_still(&c->pulse, now), cpu_ns;

	if (still < LOOK_NS || c->hang_ns == 0)
		return false;
	if (still >= c->hang_ns || c->pulse.abort_ns != 0)
		return true;
	return cpu_time(pfk__child_pid(c), &cpu_ns) &&
	    pfk__pulse_spins(&c->pulse, c->hang_ns, cpu_ns);
}

static enum pfk__verdict
judge(struct pfk__child *c, uint64_t now)
{
	struct pfk__look look;

	if (may_hang(c, now) && ask_kernel(pfk__child_pid(c), &look))
		return pfk__pulse_judge(&c->pulse, now, c->hang_ns, &look);
	return pfk__pulse_judge(&c->pulse, now, c->hang_ns, NULL);
}

static void
look_at(struct pfk__child *c, uint64_t now)
{
	uint64_t still = now - c->pulse.seen_ns;

	switch (judge(c, now)) {
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
		pfk__child_end_worker(c);
		return;
	}
}

/* A hung predecessor, which has not been aborted yet. */
static bool
has_predecessor(const struct pfk__master *m, int slot)
{
	const struct pfk__child *c;

	LIST_FOREACH(c, &m->children, link) {
		if (c->slot == slot && c->phase == PFK__PHASE_LEAVING)
			return true;
	}
	return false;
}

/* Whether clients wait for c, and nobody else can serve them. */
static bool
is_missed(const struct pfk__master *m, const struct pfk__child *c)
{
	const struct pfk__place *p = &m->places[c->slot];

	return m->started && m->stop == PFK__STOP_NONE &&
	    m->reload == PFK__RELOAD_SETTLED && p->serving == c &&
	    p->slot.state == PFK__SLOT_SERVING && !p->slot.renew &&
	    p->stall.still && p->waiting && p->adopter == NULL &&
	    !has_predecessor(m, c->slot);
}

/*
 * Replace it as a reload does: whether it goes on or is aborted, its connections
 * are handed to its successor.
 */
static void
replace_missed(struct pfk__master *m, struct pfk__child *c, uint64_t now)
{
	uint64_t limit = c->hang_ns / ALONE_PART;
	struct pfk__look look;

	if (c->hang_ns == 0 || pfk__pulse_still(&c->pulse, now) < limit ||
	    !is_missed(m, c) || !ask_kernel(pfk__child_pid(c), &look) ||
	    !pfk__pulse_stands(&c->pulse, now, limit, &look))
		return;
	pfk_log(PFK_WARNING,
	    "worker %d (%d) has stood still for %llu ms, clients wait, and no "
	    "sibling can serve them; starting its successor",
	    c->slot, (int)pfk__child_pid(c),
	    (unsigned long long)((now - c->pulse.seen_ns) / PFK_MSEC_NS));
	pfk__master_step(m, c->slot, PFK__SLOT_RENEW);
}

static void
on_watch(void *arg)
{
	struct pfk__master *m = arg;
	uint64_t now = pfk_loop_now(m->loop);
	struct pfk__child *c, *next;
	/* If we were late ourselves, nobody else can be blamed. */
	bool late = now - m->watched_ns > m->config.hang_ns / 2;

	LIST_FOREACH_SAFE(c, &m->children, link, next) {
		if (late)
			pfk__pulse_excuse(&c->pulse, now);
		look_at(c, now);
		replace_missed(m, c, now);
	}
	pfk__watch_start(m);
}

void
pfk__watch_start(struct pfk__master *m)
{
	uint64_t every;

	m->watched_ns = pfk_loop_now(m->loop);
	pfk_timer_cancel(&m->watch);
	every = m->config.hang_ns / 4;
	if (every > LOOK_NS)
		every = LOOK_NS;
	if (every > 0)
		pfk_timer_set(&m->watch, m->loop, every, on_watch, m);
}
