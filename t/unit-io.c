/*
 * loop.c and the pollers: descriptors. Every case runs on each back-end.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tap.h"
#include "unit.h"

#define MANY 300 /* more than one batch holds */

static struct pfk_loop *loop;
static const char *backend;

static void
stop(void *arg)
{
	(void)arg;
	pfk_loop_stop(loop);
}

static unsigned last_ready;
static int io_calls;
static struct pfk_io *the_io;

static void
on_io(void *arg, unsigned ready)
{
	(void)arg;
	last_ready = ready;
	io_calls++;
}

static void
on_io_once(void *arg, unsigned ready)
{
	on_io(arg, ready);
	pfk_io_cancel(&the_io);
}

static void
test_io(void)
{
	int fds[2];

	loop = pfk_loop_new(backend);
	unit_pair(fds);
	io_calls = 0;
	ok(pfk_io_add(loop, -1, PFK_READ, on_io, NULL) == NULL &&
		errno == EBADF,
	    "%s: no descriptor", backend);
	the_io = pfk_io_add(loop, fds[0], PFK_READ, on_io, NULL);
	ok(pfk_io_add(loop, fds[0], PFK_WRITE, on_io, NULL) == NULL &&
		errno == EEXIST,
	    "%s: one registration a descriptor", backend);
	unit_settle(loop);
	is_int(io_calls, 0, "%s: nothing to read: no call", backend);
	pfk_io_want(the_io, PFK_READ | PFK_WRITE);
	unit_run_until(loop, &io_calls, 1);
	is_int(last_ready, PFK_WRITE, "%s: writable", backend);
	unit_write(fds[1], "x", 1);
	pfk_io_want(the_io, PFK_READ);
	io_calls = 0;
	ok(unit_run_until(loop, &io_calls, 3), "%s: level-triggered", backend);
	is_int(last_ready, PFK_READ, "%s: readable", backend);
	pfk_io_want(the_io, 0);
	close(fds[1]);
	io_calls = 0;
	unit_settle(loop);
	is_int(io_calls, 0, "%s: wanted for nothing, no fault either", backend);
	pfk_io_want(the_io, PFK_READ);
	unit_run_until(loop, &io_calls, 1);
	ok(last_ready & (PFK_READ | PFK_FAULT), "%s: the end", backend);
	pfk_io_cancel(&the_io);
	ok(the_io == NULL, "%s: del clears the handle", backend);
	pfk_io_cancel(&the_io);

	the_io = pfk_io_add(loop, fds[0], PFK_READ, on_io_once, NULL);
	io_calls = 0;
	is_int(pfk_loop_run(loop), 0, "%s: the last one is deleted: it ends",
	    backend);
	is_int(io_calls, 1, "%s: in its own callback", backend);
	close(fds[0]);
	pfk_loop_free(loop);
}

/*
 * A descriptor that a back-end cannot watch is reported as a fault, not lost.
 */
static void
test_refused(void)
{
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	bool watches = strcmp(backend, "poll") == 0;

	loop = pfk_loop_new(backend);
	the_io = pfk_io_add(loop, fd, PFK_READ, on_io_once, NULL);
	io_calls = 0;
	ok(unit_run_until(loop, &io_calls, 1), "%s: a plain file is answered",
	    backend);
	is_int(last_ready, watches ? PFK_READ : PFK_FAULT,
	    "%s: as ready or at fault", backend);
	close(fd);
	pfk_loop_free(loop);
}

static int too_late;

static void
on_io_stop(void *arg, unsigned ready)
{
	on_io_once(arg, ready);
	pfk_loop_stop(loop);
}

static void
on_too_late(void *arg)
{
	(void)arg;
	too_late++;
	pfk_loop_stop(loop);
}

/* A fault comes before the wait, which a stop then ends. */
static void
test_refused_stops(void)
{
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	struct pfk_timer *t = NULL;

	loop = pfk_loop_new(backend);
	pfk_timer_set(&t, loop, PFK_SECOND_NS, on_too_late, NULL);
	the_io = pfk_io_add(loop, fd, PFK_READ, on_io_stop, NULL);
	too_late = 0;
	is_int(pfk_loop_run(loop), 0, "%s: stopped by a fault", backend);
	is_int(too_late, 0, "%s: at once", backend);
	pfk_timer_cancel(&t);
	close(fd);
	pfk_loop_free(loop);
}

/* stale events */

struct twin {
	struct pfk_io *io;
	struct twin *other;
	int fds[2];
};

static int twin_calls, fresh_calls;

static void
on_fresh(void *arg, unsigned ready)
{
	struct twin *t = arg;

	(void)ready;
	fresh_calls++;
	pfk_io_cancel(&t->io);
}

/*
 * The first callback replaces the other registration by a silent one of the
 * same number.
 */
static void
on_twin(void *arg, unsigned ready)
{
	struct twin *t = arg, *o = t->other;
	int fds[2], number = o->fds[0];

	(void)ready;
	twin_calls++;
	pfk_io_cancel(&o->io);
	close(o->fds[0]);
	close(o->fds[1]);
	unit_pair(fds);
	if (fds[0] != number) {
		dup2(fds[0], number);
		close(fds[0]);
	}
	o->fds[0] = number;
	o->fds[1] = fds[1];
	o->io = pfk_io_add(loop, number, PFK_READ | PFK_WRITE, on_fresh, o);
	pfk_io_want(o->io, PFK_READ);
	pfk_io_cancel(&t->io);
}

static void
test_stale(void)
{
	struct twin twins[2];

	loop = pfk_loop_new(backend);
	twin_calls = fresh_calls = 0;
	for (int i = 0; i < 2; i++) {
		unit_pair(twins[i].fds);
		unit_write(twins[i].fds[1], "x", 1);
		twins[i].other = &twins[1 - i];
		twins[i].io = pfk_io_add(loop, twins[i].fds[0], PFK_READ,
		    on_twin, &twins[i]);
	}
	unit_settle(loop);
	is_int(twin_calls, 1, "%s: the deleted one is not called", backend);
	is_int(fresh_calls, 0, "%s: its event is not its namesake's", backend);
	for (int i = 0; i < 2; i++)
		unit_write(twins[i].fds[1], "x", 1);
	ok(unit_run_until(loop, &fresh_calls, 1),
	    "%s: which gets its own events", backend);
	for (int i = 0; i < 2; i++) {
		close(twins[i].fds[0]);
		close(twins[i].fds[1]);
	}
	pfk_loop_free(loop);
}

/* many */

static int served[MANY];

static void
on_many(void *arg, unsigned ready)
{
	(void)ready;
	++*(int *)arg;
}

static void
test_many(void)
{
	struct pfk_io *ios[MANY];
	int fds[MANY], starved = 0;

	loop = pfk_loop_new(backend);
	memset(served, 0, sizeof(served));
	for (int i = 0; i < MANY; i++) {
		fds[i] = eventfd(1, EFD_CLOEXEC);
		ios[i] = pfk_io_add(loop, fds[i], PFK_READ, on_many,
		    &served[i]);
	}
	for (int i = 0; i < 3; i++) {
		pfk_soon(loop, stop, NULL);
		pfk_loop_run(loop); /* stops before it waits */
		pfk_later(loop, 0, stop, NULL);
		pfk_loop_run(loop);
	}
	for (int i = 0; i < MANY; i++) {
		starved += served[i] == 0;
		pfk_io_cancel(&ios[i]);
		close(fds[i]);
	}
	is_int(starved, 0, "%s: of more than a batch, nobody starves", backend);
	is_int(pfk_loop_run(loop), 0, "%s: all gone: it ends", backend);
	pfk_loop_free(loop);
}

int
main(void)
{
	for (int i = 0; unit_backends[i] != NULL; i++) {
		backend = unit_backends[i];
		test_io();
		test_refused();
		test_refused_stops();
		test_stale();
		test_many();
	}
	return done_testing();
}
