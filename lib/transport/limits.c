/*
 * limits.c: admission for the servers of one loop.
 *
 * Layer: transport.
 */
#include "transport/limits.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fds.h"
#include "base/misuse.h"
#include "base/received.h"
#include "event/loop.h"
#include "transport/sources.h"

#define PAUSE_NS (100 * PFK_MSEC_NS)

struct pfk__limits {
	struct pfk_loop *loop;
	size_t max_connections;
	size_t connections;
	size_t holders;
	struct pfk__sources sources;
	TAILQ_HEAD(, pfk__waiter) waiting;
	struct pfk_timer *timer;
	int spare;
	uint64_t complained_ns;
	unsigned withheld; /* lines not logged since */
};

/* Of a kind that a confined worker can open again. */
static int
open_spare(void)
{
	return eventfd(0, EFD_CLOEXEC);
}

int
pfk_loop_limit(struct pfk_loop *l, const struct pfk_limits *limits)
{
	if (l->admission != NULL)
		return pfk__misuse(EBUSY,
		    "pfk_loop_limit: the loop has a server already");
	l->limits = *limits;
	return 0;
}

struct pfk__limits *
pfk__limits_hold(struct pfk_loop *l)
{
	struct pfk__limits *lim = l->admission;

	if (lim == NULL) {
		lim = calloc(1, sizeof(*lim));
		if (lim == NULL)
			return NULL;
		lim->loop = l;
		lim->max_connections = l->limits.max_connections;
		lim->sources.max = l->limits.max_per_source;
		lim->sources.exempt_loopback = l->limits.exempt_loopback;
		lim->sources.zone = l->limits.zone;
		lim->spare = open_spare();
		TAILQ_INIT(&lim->waiting);
		l->admission = lim;
	}
	lim->holders++;
	return lim;
}

void
pfk__limits_drop(struct pfk__limits **limp)
{
	struct pfk__limits *lim = *limp;

	*limp = NULL;
	assert(lim == NULL || lim->holders > 0);
	if (lim == NULL || --lim->holders > 0)
		return;
	assert(TAILQ_EMPTY(&lim->waiting));
	lim->loop->admission = NULL;
	pfk_timer_cancel(&lim->timer);
	if (lim->spare != -1)
		close(lim->spare);
	free(lim);
}

bool
pfk__limits_have_room(const struct pfk__limits *lim)
{
	return lim->max_connections == 0 ||
	    lim->connections < lim->max_connections;
}

/* Tell the loop, and by it the master, whether a connection more can come. */
static void
publish(struct pfk__limits *lim)
{
	struct pfk_loop *l = lim->loop;
	bool full = !pfk__limits_have_room(lim);

	if (full != (*l->full != 0))
		__atomic_store_n(l->full, full, __ATOMIC_RELAXED);
}

void
pfk__limits_readmit(struct pfk__limits *lim, const struct pfk_addr *addr)
{
	lim->connections++;
	publish(lim);
	pfk__sources_readmit(&lim->sources, addr);
}

int
pfk__limits_admit(struct pfk__limits *lim, const struct pfk_addr *addr)
{
	if (pfk__sources_admit(&lim->sources, addr) == -1)
		return -1;
	lim->connections++;
	publish(lim);
	return 0;
}

static void
resume_all(struct pfk__limits *lim)
{
	struct pfk__waiter *w;

	pfk_timer_cancel(&lim->timer);
	while ((w = TAILQ_FIRST(&lim->waiting)) != NULL) {
		pfk__limits_unwait(lim, w);
		w->resume(w);
	}
}

void
pfk__limits_release(struct pfk__limits *lim, const struct pfk_addr *addr)
{
	assert(lim->connections > 0);
	lim->connections--;
	publish(lim);
	pfk__sources_release(&lim->sources, addr);
	if (lim->spare == -1)
		lim->spare = open_spare();
	resume_all(lim);
}

void
pfk__limits_wait(struct pfk__limits *lim, struct pfk__waiter *w)
{
	assert(w->resume != NULL);
	if (w->waiting)
		return;
	w->waiting = true;
	TAILQ_INSERT_TAIL(&lim->waiting, w, link);
}

static void
on_timer(void *arg)
{
	resume_all(arg);
}

void
pfk__limits_wait_briefly(struct pfk__limits *lim, struct pfk__waiter *w)
{
	pfk__limits_wait(lim, w);
	if (lim->timer == NULL)
		pfk_timer_set(&lim->timer, lim->loop, PAUSE_NS, on_timer, lim);
}

void
pfk__limits_unwait(struct pfk__limits *lim, struct pfk__waiter *w)
{
	if (!w->waiting)
		return;
	TAILQ_REMOVE(&lim->waiting, w, link);
	w->waiting = false;
}

void
pfk__limits_shed(struct pfk__limits *lim, int listener)
{
	int fd;

	if (lim->spare == -1)
		return;
	close(lim->spare);
	fd = pfk__accept(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd != -1) {
		lim->loop->stats->counts[PFK__COUNT_ACCEPTED]++;
		lim->loop->stats->counts[PFK__COUNT_CLOSED_LIMIT]++;
		pfk__never_linger(fd);
		close(fd);
	}
	lim->spare = open_spare();
}

void
pfk__limits_complain(struct pfk__limits *lim, const char *fmt, ...)
{
	uint64_t now = pfk_loop_now(lim->loop);
	char text[256], more[40] = "";
	va_list ap;

	if (lim->complained_ns != 0 &&
	    now - lim->complained_ns < PFK_SECOND_NS) {
		lim->withheld++;
		return;
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (lim->withheld > 0)
		snprintf(more, sizeof(more), " (%u more like this)",
		    lim->withheld);
	pfk_log(PFK_WARNING, "%s%s", text, more);
	lim->complained_ns = now;
	lim->withheld = 0;
}
