/*
 * io.c: the descriptors of a loop: the interest of their owners, and the
 * registrations in the back-end.
 *
 * Layer: event.  A back-end may refuse a descriptor for want of memory or of
 * watches: then it is told again every 100 ms, as long as it is wanted.
 */
#include "event/io.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/misuse.h"
#include "event/loop.h"

/* Trouble that comes and goes is logged so often at most. */
#define COMPLAINT_NS (10 * PFK_SECOND_NS)

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

static int
start(struct pfk_loop *l, struct pfk_io *io, int fd,
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
	assert(cb != NULL);
	*io = (struct pfk_io){.loop = l,
	    .cb = cb,
	    .arg = arg,
	    .fd = fd,
	    .active = true};
	l->table[fd].io = io;
	l->ios++;
	return 0;
}

static uint32_t
later(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0 ? a : b;
}

int
pfk__io_start(struct pfk_loop *l, struct pfk_io *io, int fd, unsigned want,
    void (*cb)(void *arg, unsigned ready), void *arg)
{
	struct pfk__record *r = pfk__record(l->ledger, fd);

	if (start(l, io, fd, cb, arg) == -1)
		return -1;
	/* A predecessor's events of the same number are stale as well. */
	if (r != NULL)
		l->table[fd].generation = later(l->table[fd].generation,
		    later(r->generation, l->ledger->head->generation));
	l->table[fd].generation++;
	if (r != NULL) {
		r->generation = l->table[fd].generation;
		r->armed = 0;
	}
	pfk__io_want(io, want);
	return 0;
}

int
pfk__io_resume(struct pfk_loop *l, struct pfk_io *io, int fd, unsigned want,
    void (*cb)(void *arg, unsigned ready), void *arg)
{
	const struct pfk__record *r = pfk__record(l->ledger, fd);

	/* A fresh listener is noted before anybody watches it. */
	if (r == NULL || r->generation == 0)
		return pfk__io_start(l, io, fd, want, cb, arg);
	if (start(l, io, fd, cb, arg) == -1)
		return -1;
	l->table[fd].generation = r->generation;
	if (l->ledger->head->poll_fd != -1)
		io->armed = r->armed;
	pfk__io_want(io, want);
	return 0;
}

void
pfk__io_want(struct pfk_io *io, unsigned want)
{
	struct pfk_loop *l = io->loop;

	assert(io->active && l->table[io->fd].io == io);
	io->want = (uint8_t)want;
	if (io->want == io->armed || io->dirty)
		return;
	io->dirty = true;
	assert(l->dirty_len < l->dirty_size);
	l->dirty[l->dirty_len++] = io->fd;
}

/*
 * The record has the poller's interest, with a mark while epoll_ctl(2) changes
 * it.
 */
static int
set(struct pfk_loop *l, int fd, uint32_t generation, unsigned was,
    unsigned want)
{
	struct pfk__record *r = pfk__record(l->ledger, fd);
	int rc;

	if (r != NULL)
		r->armed = PFK__ARMED_UNKNOWN;
	pfk__in_order();
	rc = l->poller->set(l->backend, fd, generation, was, want);
	pfk__in_order();
	if (r != NULL)
		r->armed = (uint8_t)(rc == 0 ? want : was);
	return rc;
}

void
pfk__io_stop(struct pfk_io *io)
{
	struct pfk_loop *l = io->loop;

	if (!io->active)
		return;
	assert(l->table[io->fd].io == io);
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
		set(l, io->fd, 0, io->armed, 0);
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

/* the back-end */

/*
 * Memory and watches that the kernel lacks now may be there later; other errors
 * stay.
 */
static bool
may_pass(int error)
{
	return error == ENOSPC || error == ENOMEM;
}

static const char *
cure(int error)
{
	return error == ENOSPC ? "; raise fs.epoll.max_user_watches" : "";
}

static void
try_later(struct pfk_loop *l, int error)
{
	l->refused_at_ns = l->now;
	if (l->complained ||
	    (l->complained_ns != 0 && l->now - l->complained_ns < COMPLAINT_NS))
		return;
	l->complained = true;
	l->complained_ns = l->now;
	pfk_log(PFK_WARNING,
	    "cannot watch a descriptor: %s; trying again every 100 ms%s",
	    strerror(error), cure(error));
}

static int
arm(struct pfk_loop *l, int fd)
{
	struct pfk_io *io = l->table[fd].io;

	assert(io != NULL && io->dirty);
	io->dirty = false;
	if (io->want == io->armed)
		return 0;
	if (set(l, fd, l->table[fd].generation, io->armed, io->want) == 0) {
		io->armed = io->want;
		return 0;
	}
	if (may_pass(errno))
		return -1;
	io->want = io->armed & (PFK_READ | PFK_WRITE);
	io->cb(io->arg, PFK_FAULT);
	return 0;
}

/* Queue again each descriptor that the back-end has refused. */
static void
try_again(struct pfk_loop *l)
{
	l->refused_at_ns = 0;
	for (int fd = 0; fd < l->table_size; fd++) {
		if (l->table[fd].io != NULL)
			pfk__io_want(l->table[fd].io, l->table[fd].io->want);
	}
}

void
pfk__io_arm(struct pfk_loop *l)
{
	bool again = l->refused_at_ns != 0 &&
	    l->now - l->refused_at_ns >= PFK__IO_RETRY_NS;

	if (again)
		try_again(l);
	/* A callback may add to the list; those wait for the next turn. */
	for (int n = l->dirty_len; n > 0 && l->dirty_len > 0; n--) {
		if (arm(l, l->dirty[--l->dirty_len]) == -1)
			try_later(l, errno);
	}
	if (again && l->refused_at_ns == 0 && l->complained) {
		l->complained = false;
		pfk_log(PFK_WARNING, "all descriptors are watched again");
	}
}

int
pfk__io_arm_first(struct pfk_loop *l, const char **cause)
{
	static char text[128];

	while (l->dirty_len > 0) {
		if (arm(l, l->dirty[--l->dirty_len]) == -1) {
			snprintf(text, sizeof(text), "%s%s", strerror(errno),
			    cure(errno));
			*cause = text;
			l->refused_at_ns = l->now;
			return -1;
		}
	}
	return 0;
}

/*
 * The back-end tells of a descriptor that is closed here, for ever: a child has
 * it too.  Only a new one forgets it.
 */
void
pfk__io_watch_anew(struct pfk_loop *l)
{
	const char *failed;
	void *fresh = l->poller->open(-1, &failed);

	if (fresh == NULL)
		return;
	for (int fd = 0; fd <= l->ledger->head->top; fd++)
		l->ledger->records[fd].armed = 0;
	pfk__in_order();
	l->ledger->head->poll_fd = l->poller->fd(fresh);
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

/* the handle */

struct pfk_io *
pfk_io_add(struct pfk_loop *l, int fd, unsigned want,
    void (*cb)(void *arg, unsigned ready), void *arg)
{
	struct pfk_io *io;

	/* The table would grow up to any number. */
	if (pfk__need_callback("pfk_io_add", cb != NULL) == -1 ||
	    pfk__need_open("pfk_io_add", fd) == -1)
		return NULL;
	io = malloc(sizeof(*io));
	if (io == NULL)
		return NULL;
	if (pfk__io_start(l, io, fd, want, cb, arg) == -1) {
		free(io);
		return NULL;
	}
	io->once = true;
	return io;
}

void
pfk_io_want(struct pfk_io *io, unsigned want)
{
	pfk__io_want(io, want & (PFK_READ | PFK_WRITE));
}

void
pfk_io_cancel(struct pfk_io **io)
{
	if (*io == NULL)
		return;
	pfk__io_stop(*io);
	free(*io);
	*io = NULL;
}
