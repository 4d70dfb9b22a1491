/*
 * heartbeat.c: does a worker's loop still turn?
 *
 * Layer: process.
 */
#include "process/heartbeat.h"

#include <execinfo.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "event/loop.h"
#include "process/pages.h"

#define FRAMES_MAX 32

int
pfk__pulse_open(struct pfk__pulse *p, struct pfk__pages *pages, uint64_t now_ns)
{
	struct pfk__page *page = pfk__pages_get(pages);

	if (page == NULL)
		return -1;
	*p = (struct pfk__pulse){.page = page, .seen_ns = now_ns};
	return 0;
}

void
pfk__pulse_close(struct pfk__pulse *p, struct pfk__pages *pages)
{
	if (p->page != NULL)
		pfk__pages_put(pages, p->page);
	p->page = NULL;
}

void
pfk__pulse_excuse(struct pfk__pulse *p, uint64_t now_ns)
{
	p->seen_ns = now_ns;
	p->cpu_known = false;
}

void
pfk__pulse_restart(struct pfk__pulse *p, uint64_t now_ns)
{
	pfk__pulse_excuse(p, now_ns);
	p->abort_ns = 0;
}

uint64_t
pfk__pulse_still(struct pfk__pulse *p, uint64_t now_ns)
{
	uint64_t beat = __atomic_load_n(&p->page->beat, __ATOMIC_RELAXED);

	if (beat != p->seen) {
		p->seen = beat;
		pfk__pulse_excuse(p, now_ns);
	}
	return now_ns - p->seen_ns;
}

bool
pfk__pulse_spins(struct pfk__pulse *p, uint64_t timeout_ns, uint64_t cpu_ns)
{
	uint64_t spin_ns = timeout_ns < PFK__SPIN_NS ? timeout_ns
						     : PFK__SPIN_NS;

	if (!p->cpu_known) {
		p->cpu_known = true;
		p->cpu_ns = cpu_ns;
	}
	return cpu_ns - p->cpu_ns >= spin_ns;
}

static bool
hangs(struct pfk__pulse *p, uint64_t still_ns, uint64_t timeout_ns,
    const struct pfk__look *look)
{
	if (look == NULL)
		return still_ns >= timeout_ns;
	if (pfk__pulse_spins(p, timeout_ns, look->cpu_ns))
		return true;
	return still_ns >= timeout_ns && look->state != 'R';
}

bool
pfk__pulse_stands(struct pfk__pulse *p, uint64_t now_ns, uint64_t timeout_ns,
    const struct pfk__look *look)
{
	uint64_t still = pfk__pulse_still(p, now_ns);

	return !look->traced && hangs(p, still, timeout_ns, look);
}

/* A stopped process has no last words: it handles SIGABRT when it goes on. */
static bool
is_silent(const struct pfk__look *look)
{
	return look != NULL && look->state == 'T';
}

enum pfk__verdict
pfk__pulse_judge(struct pfk__pulse *p, uint64_t now_ns, uint64_t timeout_ns,
    const struct pfk__look *look)
{
	uint64_t still = pfk__pulse_still(p, now_ns);

	if (timeout_ns == 0)
		return PFK__VERDICT_ALIVE;
	if (look != NULL && look->traced) {
		pfk__pulse_restart(p, now_ns);
		return PFK__VERDICT_ALIVE;
	}
	if (p->abort_ns != 0)
		return is_silent(look) ||
			now_ns - p->abort_ns >= PFK__LAST_WORDS_NS
		    ? PFK__VERDICT_LOST
		    : PFK__VERDICT_ALIVE;
	if (!hangs(p, still, timeout_ns, look))
		return PFK__VERDICT_ALIVE;
	p->abort_ns = now_ns;
	return PFK__VERDICT_HUNG;
}

/* the worker's side */

static struct {
	struct pfk_loop *loop;
	uint64_t every_ns;
} heart;

static void
say(const char *text, size_t len)
{
	/* With its last breath: nothing can be done about a failure. */
	if (write(pfk__log_text_fd(), text, len) == -1)
		return;
}

/*
 * snprintf and backtrace are not async-signal-safe on paper; on glibc they work
 * once loaded.
 */
static void
last_words(int signo)
{
	void *frames[FRAMES_MAX];
	struct timespec ts;
	uint64_t now;
	char line[160], prefix[64];
	int n;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (uint64_t)ts.tv_sec * PFK_SECOND_NS + (uint64_t)ts.tv_nsec;
	pfk__log_text_prefix(prefix, sizeof(prefix));
	n = snprintf(line, sizeof(line),
	    "%saborted; its loop last turned %llu ms ago, at:\n", prefix,
	    (unsigned long long)((now - heart.loop->now) / PFK_MSEC_NS));
	say(line, (size_t)n);
	n = backtrace(frames, FRAMES_MAX);
	backtrace_symbols_fd(frames, n, pfk__log_text_fd());
	/* The disposition is the default again. */
	raise(signo);
}

static void
beat(void *arg)
{
	/* To have turned is all. */
	(void)arg;
	pfk_later(heart.loop, heart.every_ns, beat, NULL);
}

void
pfk__heartbeat_prepare(void)
{
	void *frame;

	backtrace(&frame, 1);
}

void
pfk__heartbeat_start(struct pfk_loop *l, uint64_t *page, uint64_t every_ns)
{
	struct sigaction sa = {.sa_handler = last_words,
	    .sa_flags = (int)SA_RESETHAND | SA_NODEFER};

	heart.loop = l;
	heart.every_ns = every_ns;
	l->beat = page;
	sigaction(SIGABRT, &sa, NULL);
	if (every_ns > 0)
		beat(NULL);
}
