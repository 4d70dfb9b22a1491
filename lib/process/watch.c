/*
 * watch.c: look for workers with a loop that stands still.
 *
 * Layer: process.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "process/master.h"

/* A worker that stands still is looked at so often, at least. */
#define LOOK_NS (500 * PFK_MSEC_NS)

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
	char path[40], text[512], *end;
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	end = strrchr(text, ')');
	if (end == NULL || sscanf(end + 1, " %c", &look->state) != 1 ||
	    !cpu_time(pid, &look->cpu_ns))
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
	uint64_t every;

	m->watched_ns = pfk_loop_now(m->loop);
	pfk_timer_cancel(&m->watch);
	every = m->config.hang_ns / 4;
	if (every > LOOK_NS)
		every = LOOK_NS;
	if (every > 0)
		pfk_timer_set(&m->watch, m->loop, every, on_watch, m);
}
