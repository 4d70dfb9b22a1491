/*
 * watch.c: look for workers with a loop that stands still.
 *
 * Layer: process.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
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

/* False: there is no /proc, or no such process. */
static bool
ask_kernel(pid_t pid, struct pfk__look *look)
{
	unsigned long user = 0, kernel = 0;
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
	if (end == NULL ||
	    sscanf(end + 1,
		" %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
		&look->state, &user, &kernel) != 3)
		return false;
	look->cpu_ns = (user + kernel) *
	    (PFK_SECOND_NS / (uint64_t)sysconf(_SC_CLK_TCK));
	look->traced = is_traced(pid);
	return true;
}

static enum pfk__verdict
judge(struct pfk__child *c, uint64_t now)
{
	struct pfk__look look;
	bool quiet = pfk__pulse_still(&c->pulse, now) >= LOOK_NS;

	if (quiet && ask_kernel(pfk__child_pid(c), &look))
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
