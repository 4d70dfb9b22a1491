/*
 * loop.c: the event loop: turns, descriptors, members.
 *
 * Layer: event.  Timers stand in timer.c, signals in signal.c.
 */
#include "event/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/fds.h"
#include "event/timer.h"

#define READY_MAX 256
#define REST_NS 50000
#define SLACK_NS 1000 /* prctl(2): by default a rest takes 50 us more */
/* One turn's events may be stale by their order; so many in a row are not. */
#define STALE_TURNS_MAX 16

static const struct pfk__poller *const pollers[] = {
    &pfk__poller_epoll,
    &pfk__poller_poll,
};

static uint64_t
clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * PFK_SECOND_NS + (uint64_t)ts.tv_nsec;
}

static int
open_backend(struct pfk_loop *l, const char *name)
{
	bool any = name == NULL || strcmp(name, "auto") == 0;
	const char *failed;

	errno = EINVAL;
	for (size_t i = 0; i < sizeof(pollers) / sizeof(pollers[0]); i++) {
		if (!any && strcmp(name, pollers[i]->name) != 0)
			continue;
		l->poller = pollers[i];
		l->backend = l->poller->open(&failed);
		if (l->backend != NULL)
			return 0;
		if (!any || pfk__is_denied(errno))
			pfk_warn("cannot wait by %s: %s(2)", l->poller->name,
			    failed);
	}
	return -1;
}

struct pfk_loop *
pfk_loop_new(const char *backend)
{
	struct pfk_loop *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->scratch = mmap(NULL, PFK__SCRATCH_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (l->scratch == MAP_FAILED)
		goto err1;
	if (open_backend(l, backend) == -1)
		goto err2;
	TAILQ_INIT(&l->soon);
	LIST_INIT(&l->members);
	l->soon_order = 1;
	l->spread_ns = PFK_SECOND_NS;
	l->beat = &l->own_beat;
	l->now = clock_now();
	return l;
err2:
	munmap(l->scratch, PFK__SCRATCH_BYTES);
err1:
	free(l);
	return NULL;
}

void
pfk_loop_free(struct pfk_loop *l)
{
	if (l == NULL)
		return;
	pfk__signals_release(l);
	pfk__soon_free(l);
	pfk__timers_free(l);
	l->poller->close(l->backend);
	munmap(l->scratch, PFK__SCRATCH_BYTES);
	free(l->batch);
	pfk__pipes_free(&l->pipes);
	free(l->dirty);
	free(l->table);
	free(l);
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
pfk_loop_coalesce(struct pfk_loop *l, bool on)
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

/* descriptors */

static int
grow_table(struct pfk_loop *l, int fd)
{
	int size = l->table_size > 0 ? l->table_size : 64;
	struct pfk__registration *table;

	while (size <= fd)
		size *= 2;
	table = reallocarray(l->table, (size_t)size, sizeof(*table));
	if (table == NULL)
		return -1;
	memset(table + l->table_size, 0,
	    (size_t)(size - l->table_size) * sizeof(*table));
	l->table = table;
	l->table_size = size;
	return 0;
}

/* Room for every registration at once, so that marking cannot fail. */
static int
reserve_dirty(struct pfk_loop *l)
{
	int size = l->dirty_size > 0 ? 2 * l->dirty_size : 64;
	int *dirty;

	if ((size_t)l->dirty_size > l->ios + 1 &&
	    l->dirty_len < l->dirty_size - 1)
		return 0;
	dirty = reallocarray(l->dirty, (size_t)size, sizeof(*dirty));
	if (dirty == NULL)
		return -1;
	l->dirty = dirty;
	l->dirty_size = size;
	return 0;
}

int
pfk__io_start(struct pfk_loop *l, struct pfk_io *io, int fd, unsigned want,
    void (*cb)(void *arg, unsigned ready), void *arg)
{
	if (fd < 0) {
		errno = EBADF;
		return -1;
	}
	if (fd >= l->table_size && grow_table(l, fd) == -1)
		return -1;
	if (l->table[fd].io != NULL) {
		errno = EEXIST;
		return -1;
	}
	if (reserve_dirty(l) == -1)
		return -1;
	*io = (struct pfk_io){.loop = l,
	    .cb = cb,
	    .arg = arg,
	    .fd = fd,
	    .active = true};
	l->table[fd].io = io;
	l->table[fd].generation++;
	l->ios++;
	pfk__io_want(io, want);
	return 0;
}

void
pfk__io_want(struct pfk_io *io, unsigned want)
{
	struct pfk_loop *l = io->loop;

	assert(io->active);
	io->want = (uint8_t)want;
	if (io->want == io->armed || io->dirty)
		return;
	io->dirty = true;
	l->dirty[l->dirty_len++] = io->fd;
}

void
pfk__io_stop(struct pfk_io *io)
{
	struct pfk_loop *l = io->loop;

	if (!io->active)
		return;
	if (io->dirty) {
		/* Mostly the last one. */
		for (int i = l->dirty_len - 1; i >= 0; i--) {
			if (l->dirty[i] == io->fd) {
				l->dirty[i] = l->dirty[--l->dirty_len];
				break;
			}
		}
		io->dirty = false;
	}
	if (io->armed != 0)
		l->poller->set(l->backend, io->fd, 0, io->armed, 0);
	io->armed = 0;
	io->active = false;
	l->table[io->fd].io = NULL;
	l->ios--;
}

void
pfk__io_abandon(struct pfk_io *io)
{
	if (io->active && io->loop->poller->close_ends)
		io->armed = 0;
	pfk__io_stop(io);
}

static void
arm(struct pfk_loop *l, int fd)
{
	struct pfk_io *io = l->table[fd].io;

	io->dirty = false;
	if (io->want == io->armed)
		return;
	if (l->poller->set(l->backend, fd, l->table[fd].generation, io->armed,
		io->want) == 0) {
		io->armed = io->want;
		return;
	}
	io->want = io->armed;
	io->cb(io->arg, PFK_FAULT);
}

static void
arm_dirty(struct pfk_loop *l)
{
	/* A callback may add to the list; those wait for the next turn. */
	for (int n = l->dirty_len; n > 0 && l->dirty_len > 0; n--)
		arm(l, l->dirty[--l->dirty_len]);
}

struct pfk_io *
pfk_io_add(struct pfk_loop *l, int fd, unsigned want,
    void (*cb)(void *arg, unsigned ready), void *arg)
{
	struct pfk_io *io = malloc(sizeof(*io));

	if (io == NULL)
		return NULL;
	if (pfk__io_start(l, io, fd, want, cb, arg) == -1) {
		free(io);
		return NULL;
	}
	return io;
}

void
pfk_io_want(struct pfk_io *io, unsigned want)
{
	pfk__io_want(io, want & (PFK_READ | PFK_WRITE));
}

void
pfk_io_del(struct pfk_io **io)
{
	if (*io == NULL)
		return;
	pfk__io_stop(*io);
	free(*io);
	*io = NULL;
}

/* members */

void
pfk__member_add(struct pfk_loop *l, struct pfk__member *m,
    void (*drain)(struct pfk__member *m, enum pfk_drain how))
{
	m->drain = drain;
	m->drained = 0;
	LIST_INSERT_HEAD(&l->members, m, link);
}

void
pfk__member_remove(struct pfk__member *m)
{
	LIST_REMOVE(m, link);
}

static struct pfk__member *
undrained(const struct pfk_loop *l, unsigned level)
{
	struct pfk__member *m;

	LIST_FOREACH(m, &l->members, link) {
		if (m->drained < level)
			return m;
	}
	return NULL;
}

static void
drain_members(void *arg)
{
	struct pfk_loop *l = arg;
	struct pfk__member *m;

	/* A drain may end any member, so look anew each time. */
	while ((m = undrained(l, l->drain_level)) != NULL) {
		m->drained = l->drain_level;
		m->drain(m, (enum pfk_drain)(l->drain_level - 1));
	}
}

void
pfk_loop_drain(struct pfk_loop *l, enum pfk_drain how)
{
	unsigned level = (unsigned)how + 1;

	if (level > l->drain_level)
		l->drain_level = level;
	pfk__soon_add(l, &l->drain, drain_members, l);
}

/* turns */

/* Run what was queued before this round; the rest waits for the next. */
static void
run_soon(struct pfk_loop *l)
{
	uint64_t end = l->soon_order;
	struct pfk__soon *s;

	while ((s = TAILQ_FIRST(&l->soon)) != NULL && s->order < end) {
		void (*cb)(void *) = s->cb;

		pfk__soon_cancel(l, s);
		cb(s->arg);
	}
}

static int
timeout_ms(const struct pfk_loop *l)
{
	uint64_t deadline, now, ms;

	/* A fault that was told while arming may have stopped it. */
	if (l->stop || !TAILQ_EMPTY(&l->soon) || l->dirty_len > 0)
		return 0;
	if (!pfk__timers_next(l, &deadline))
		return -1;
	now = clock_now();
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
	if ((r->what & (io->want | PFK_FAULT)) != 0 && io->want != 0)
		io->cb(io->arg, r->what);
	return true;
}

/*
 * The back-end tells of a descriptor that is closed here, for ever: a child has
 * it too.  Only a new one forgets it.
 */
static void
watch_anew(struct pfk_loop *l)
{
	const char *failed;
	void *fresh = l->poller->open(&failed);

	if (fresh == NULL)
		return;
	l->poller->close(l->backend);
	l->backend = fresh;
	for (int fd = 0; fd < l->table_size; fd++) {
		struct pfk_io *io = l->table[fd].io;

		if (io == NULL)
			continue;
		io->armed = 0;
		pfk__io_want(io, io->want);
	}
}

static bool
finished(const struct pfk_loop *l)
{
	if (l->stop)
		return true;
	if (!TAILQ_EMPTY(&l->soon) || !LIST_EMPTY(&l->members))
		return false;
	return l->drain_level > 0 ||
	    (l->ios == 0 && l->timers.len == 0 && l->signals == 0);
}

/* What comes meanwhile is found at once, and wakes nobody. */
static void
rest(void)
{
	struct timespec moment = {.tv_nsec = REST_NS};

	nanosleep(&moment, NULL);
}

static int
turn(struct pfk_loop *l)
{
	struct pfk__ready ready[READY_MAX];
	int n, ms, stale = 0;

	run_soon(l);
	if (finished(l))
		return 0; /* or the wait would be for nothing */
	arm_dirty(l);
	ms = timeout_ms(l);
	if (l->may_rest && pfk__coalesce_turn(&l->coalesce, l->now, l->work) &&
	    ms != 0)
		rest();
	n = l->poller->wait(l->backend, ready, READY_MAX, ms);
	l->now = clock_now();
	*l->beat = l->now;
	l->turns++;
	if (n == -1 && errno != EINTR)
		return -1;
	for (int i = 0; i < n; i++)
		stale += !dispatch(l, &ready[i]);
	l->stale_turns = stale > 0 && stale == n ? l->stale_turns + 1 : 0;
	if (l->stale_turns >= STALE_TURNS_MAX)
		watch_anew(l);
	pfk__timers_run(l);
	run_soon(l);
	return 0;
}

int
pfk_loop_run(struct pfk_loop *l)
{
	l->stop = false;
	while (!finished(l)) {
		if (turn(l) == -1)
			return -1;
	}
	return 0;
}
