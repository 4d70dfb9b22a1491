/*
 * loop.c: the event loop: its turns.
 *
 * Layer: event.  Descriptors stand in io.c, timers in timer.c, signals in signal.c,
 * and objects that drain with the loop in member.c.
 */
#include "event/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/fds.h"
#include "base/misuse.h"
#include "event/fork.h"
#include "event/io.h"
#include "event/timer.h"
#include "event/trim.h"

#define READY_MAX 256
#define REST_NS 50000
#define SLACK_NS 1000 /* prctl(2): by default a rest takes 50 us more */
/*
 * A turn may have stale events alone by chance; this many such turns in a row mean
 * a registration that the kernel has kept.
 */
#define STALE_TURNS_MAX 16

static const struct pfk__poller *const pollers[] = {
    &pfk__poller_epoll,
    &pfk__poller_poll,
};

uint64_t
pfk__clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * PFK_SECOND_NS + (uint64_t)ts.tv_nsec;
}

static bool
is_any(const char *name)
{
	return name == NULL || strcmp(name, "auto") == 0;
}

bool
pfk__loop_knows(const char *backend)
{
	for (size_t i = 0; i < sizeof(pollers) / sizeof(pollers[0]); i++) {
		if (!is_any(backend) && strcmp(backend, pollers[i]->name) == 0)
			return true;
	}
	return is_any(backend);
}

static int
open_backend(struct pfk_loop *l, const char *name)
{
	bool any = is_any(name);
	const char *failed;

	errno = EINVAL;
	for (size_t i = 0; i < sizeof(pollers) / sizeof(pollers[0]); i++) {
		if (!any && strcmp(name, pollers[i]->name) != 0)
			continue;
		l->poller = pollers[i];
		l->backend = l->poller->open(l->ledger->head->poll_fd, &failed);
		if (l->backend != NULL) {
			l->ledger->head->poll_fd = l->poller->fd(l->backend);
			return 0;
		}
		if (!any || pfk__is_denied(errno))
			pfk_warn("cannot wait by %s: %s(2)", l->poller->name,
			    failed);
	}
	return -1;
}

/* A worker has shared ones in their place. */
static int
need_stats(struct pfk_loop *l)
{
	l->own_stats = calloc(1, sizeof(*l->own_stats));
	l->own_recorder = calloc(1, sizeof(*l->own_recorder));
	l->recorder = l->own_recorder;
	return l->own_stats != NULL && l->own_recorder != NULL ? 0 : -1;
}

struct pfk_loop *
pfk__loop_new_with(const char *backend, struct pfk__ledger *ledger)
{
	struct pfk_loop *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->ledger = ledger;
	if (ledger == NULL) {
		l->ledger = &l->own_ledger;
		if (pfk__ledger_open(l->ledger, false) == -1)
			goto err1;
	}
	l->scratch = l->ledger->scratch;
	if (need_stats(l) == -1 || open_backend(l, backend) == -1)
		goto err2;
	TAILQ_INIT(&l->soon);
	LIST_INIT(&l->members);
	l->soon_order = 1;
	l->drained = PFK__NO_DRAIN;
	l->spread_ns = PFK_SECOND_NS;
	l->beat = &l->own_beat;
	l->full = &l->own_full;
	l->now = pfk__clock_now();
	pfk__stats_begin(l, l->own_stats);
	pfk__fork_watch(l);
	return l;
err2:
	free(l->own_stats);
	free(l->own_recorder);
	pfk__ledger_close(&l->own_ledger);
err1:
	free(l);
	return NULL;
}

struct pfk_loop *
pfk_loop_new(const char *backend)
{
	if (!pfk__loop_knows(backend)) {
		pfk__misuse(EINVAL,
		    "pfk_loop_new: the back-end is %s; it is " PFK__BACKENDS,
		    backend);
		return NULL;
	}
	return pfk__loop_new_with(backend, NULL);
}

void
pfk__loop_free(struct pfk_loop *l)
{
	if (l == NULL)
		return;
	/* Look-ups are children of the process that has made the loop. */
	if (l->drop_connectors != NULL && l->forks == pfk__forks)
		l->drop_connectors(l);
	pfk__fork_unwatch(l);
	pfk__signals_release(l);
	pfk__soon_free(l);
	pfk__timers_free(l);
	l->poller->close(l->backend);
	pfk__ledger_close(&l->own_ledger);
	pfk__pipes_free(&l->pipes);
	free(l->own_stats);
	free(l->own_recorder);
	free(l->cork_bytes);
	free(l->dirty);
	free(l->table);
	free(l);
}

/* -1: it is in use, and to be kept. */
static int
check_unused(const struct pfk_loop *l)
{
	if (l->running)
		return pfk__misuse(EBUSY,
		    "pfk_loop_free: the loop runs; stop it, and free it when "
		    "pfk_loop_run has returned");
	if (!LIST_EMPTY(&l->members))
		return pfk__misuse(EBUSY,
		    "pfk_loop_free: the loop has servers, connections or "
		    "endpoints; end them first, by pfk_loop_drain and "
		    "pfk_loop_run");
	return 0;
}

void
pfk_loop_free(struct pfk_loop *l)
{
	if (l == NULL || l->forks != pfk__forks || check_unused(l) == 0)
		pfk__loop_free(l);
}

const char *
pfk_loop_backend(const struct pfk_loop *l)
{
	return l->poller->name;
}

uint64_t
pfk_loop_now(const struct pfk_loop *l)
{
	return l->now;
}

void
pfk__loop_coalesce(struct pfk_loop *l, bool on)
{
	l->may_rest = on;
	l->coalesce = (struct pfk__coalesce){0};
	if (on)
		prctl(PR_SET_TIMERSLACK, (unsigned long)SLACK_NS);
}

void
pfk_loop_stop(struct pfk_loop *l)
{
	l->stop = true;
}

/* turns */

/*
 * Run the callbacks that were queued before this round; the rest waits for the
 * next.
 */
static void
run_soon(struct pfk_loop *l)
{
	uint64_t end = l->soon_order;
	struct pfk__soon *s;

	while ((s = TAILQ_FIRST(&l->soon)) != NULL && s->order < end) {
		void (*cb)(void *) = s->cb;

		pfk__soon_cancel(l, s);
		cb(s->arg);
		if (pfk__forked(l))
			return;
		pfk__callback_ends(l);
	}
}

static int
timeout_ms(const struct pfk_loop *l, uint64_t now)
{
	uint64_t deadline, ms;

	/* A fault that was told while arming may have stopped it. */
	if (l->stop || !TAILQ_EMPTY(&l->soon) || l->dirty_len > 0)
		return 0;
	if (!pfk__timers_next(l, &deadline))
		deadline = UINT64_MAX;
	if (l->refused_at_ns != 0 &&
	    l->refused_at_ns + PFK__IO_RETRY_NS < deadline)
		deadline = l->refused_at_ns + PFK__IO_RETRY_NS;
	if (l->trim_at_ns != 0 && l->trim_at_ns < deadline)
		deadline = l->trim_at_ns;
	if (deadline == UINT64_MAX)
		return -1;
	if (deadline <= now)
		return 0;
	ms = (deadline - now + PFK_MSEC_NS - 1) / PFK_MSEC_NS;
	return ms < INT32_MAX ? (int)ms : INT32_MAX;
}

/* False: it is stale. */
static bool
dispatch(struct pfk_loop *l, const struct pfk__ready *r)
{
	struct pfk_io *io = r->fd < l->table_size ? l->table[r->fd].io : NULL;

	if (io == NULL || l->table[r->fd].generation != r->generation)
		return false;
	/* A want that was dropped in this turn is no longer of interest. */
	if ((r->what & (io->want | PFK_FAULT)) != 0 && io->want != 0) {
		bool begun = io->once && pfk__once_begin(l);

		l->ledger->head->serving = r->fd;
		io->cb(io->arg, r->what);
		if (begun)
			pfk__once_end(l);
	}
	return true;
}

static bool
finished(const struct pfk_loop *l)
{
	if (l->stop)
		return true;
	if (!TAILQ_EMPTY(&l->soon) || l->holders > 0)
		return false;
	return l->drained != PFK__NO_DRAIN ||
	    (LIST_EMPTY(&l->members) && l->ios == 0 && l->timers.len == 0 &&
		l->signals == 0);
}

/* Events that arrive during the sleep are picked up without a wake-up. */
static void
rest(void)
{
	struct timespec moment = {.tv_nsec = REST_NS};

	nanosleep(&moment, NULL);
}

static int
turn(struct pfk_loop *l, bool wait)
{
	struct pfk__ready ready[READY_MAX];
	int n, ms, stale = 0;
	uint64_t end;

	run_soon(l);
	if (pfk__forked(l))
		return -1;
	if (finished(l))
		return 0; /* or the wait would be for nothing */
	pfk__io_arm(l);
	end = pfk__clock_now();
	pfk__stats_turn(l, end);
	ms = wait ? timeout_ms(l, end) : 0;
	if (l->may_rest && pfk__coalesce_turn(&l->coalesce, l->now, l->work) &&
	    ms != 0)
		rest();
	n = l->poller->wait(l->backend, ready, READY_MAX, ms);
	l->now = pfk__clock_now();
	*l->beat = l->now;
	l->turns++;
	if (n == -1 && errno != EINTR)
		return -1;
	assert(n <= READY_MAX && l->now >= end);
	for (int i = 0; i < n; i++) {
		stale += !dispatch(l, &ready[i]);
		if (pfk__forked(l))
			return -1;
		pfk__callback_ends(l);
	}
	l->ledger->head->serving = -1;
	l->stale_turns = stale > 0 && stale == n ? l->stale_turns + 1 : 0;
	if (l->stale_turns >= STALE_TURNS_MAX)
		pfk__io_watch_anew(l);
	pfk__timers_run(l);
	run_soon(l);
	if (pfk__forked(l))
		return -1;
	pfk__trim_turn(l);
	/* With many descriptors less often, so that its cost stays the same. */
	if (PFK__CHECKED && l->turns % (1 + l->ios / 64) == 0)
		pfk__loop_check(l);
	return 0;
}

/* -1 with errno: it cannot run now. */
static int
enter(struct pfk_loop *l, const char *call)
{
	if (l->forks != pfk__forks)
		return pfk__misuse(ECHILD,
		    "%s: the loop belongs to the process that has forked this "
		    "one; make another one",
		    call);
	if (l->running)
		return pfk__misuse(EBUSY,
		    "%s: the loop runs already; return from the callback "
		    "instead",
		    call);
	l->stop = false;
	l->running = true;
	return 0;
}

int
pfk__loop_run(const char *call, struct pfk_loop *l)
{
	int rc = 0;

	if (enter(l, call) == -1)
		return -1;
	while (rc == 0 && !finished(l))
		rc = turn(l, true);
	l->running = false;
	return rc;
}

int
pfk_loop_run(struct pfk_loop *l)
{
	return pfk__loop_run("pfk_loop_run", l);
}

int
pfk_loop_turn(struct pfk_loop *l, int *wait_ms)
{
	int rc;

	if (enter(l, "pfk_loop_turn") == -1)
		return -1;
	/* The time outside is not a callback's. */
	l->now = pfk__clock_now();
	rc = turn(l, false);
	*wait_ms = -1;
	if (rc == 0 && !finished(l)) {
		pfk__io_arm(l);
		*wait_ms = timeout_ms(l, pfk__clock_now());
		rc = 1;
	}
	l->running = false;
	return rc;
}

int
pfk_loop_fd(const struct pfk_loop *l)
{
	int fd = l->poller->fd(l->backend);

	if (fd == -1)
		errno = EOPNOTSUPP;
	return fd;
}
