/*
 * loop.c: turns, ends, members. Every case runs on each back-end. Descriptors
 * stand in unit-io.c, timers in unit-timer.c, signals in unit-signal.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "event/loop.h"
#include "tap.h"
#include "unit.h"

static struct pfk_loop *loop;
static const char *backend;
static int naps;
static long nap_ns;

/* The loop's rests, which are counted in the place of libc's. */
int
nanosleep(const struct timespec *requested_time, struct timespec *remaining)
{
	(void)remaining;
	naps++;
	nap_ns = requested_time->tv_nsec;
	return 0;
}

static char trail[64]; /* one letter a callback */

static void
mark(char c)
{
	size_t n = strlen(trail);

	if (n + 1 < sizeof(trail)) {
		trail[n] = c;
		trail[n + 1] = '\0';
	}
}

static void
put(void *arg)
{
	mark(*(const char *)arg);
}

static void
begin(void)
{
	loop = pfk_loop_new(backend);
	trail[0] = '\0';
}

static void
count(void *arg)
{
	++*(int *)arg;
}

static void
stop(void *arg)
{
	(void)arg;
	pfk_loop_stop(loop);
}

/* order of a turn */

static struct pfk_io *order_io;

static void
put_and_stop(void *arg)
{
	put(arg);
	pfk_loop_stop(loop);
}

static void
put_last(void *arg)
{
	put(arg);
	pfk_soon(loop, put_and_stop, (void *)(uintptr_t) "|");
}

static void
on_order_ready(void *arg, unsigned ready)
{
	(void)ready;
	put(arg);
	pfk_soon(loop, put, (void *)(uintptr_t) "2");
	pfk_io_cancel(&order_io);
}

static void
on_order_timer(void *arg)
{
	put(arg);
	pfk_soon(loop, put_last, (void *)(uintptr_t) "3");
}

static void
test_order(void)
{
	int fd = eventfd(1, EFD_CLOEXEC);

	begin();
	order_io = pfk_io_add(loop, fd, PFK_READ, on_order_ready,
	    (void *)(uintptr_t) "r");
	pfk_later(loop, 0, on_order_timer, (void *)(uintptr_t) "t");
	pfk_soon(loop, put, (void *)(uintptr_t) "1");
	pfk_loop_run(loop);
	is_str(trail, "1rt23|", "%s: soon, ready, timers, soon", backend);
	is_int(loop->turns, 1,
	    "%s: additions of the last round wait for the next turn", backend);
	close(fd);
	pfk_loop_free(loop);
}

static int again_left;

static void
again(void *arg)
{
	if (--again_left > 0)
		pfk_soon(loop, again, arg);
}

static void
again_timer(void *arg)
{
	if (--again_left > 0)
		pfk_later(loop, 0, again_timer, arg);
}

static void
test_rounds(void)
{
	begin();
	again_left = 10;
	pfk_soon(loop, again, NULL);
	is_int(pfk_loop_run(loop), 0, "%s: run", backend);
	is_int(again_left, 0, "%s: all were called", backend);
	is_int(loop->turns, 5, "%s: a soon that adds a soon waits a round",
	    backend);
	again_left = 10;
	pfk_later(loop, 0, again_timer, NULL);
	pfk_loop_run(loop);
	is_int(loop->turns, 15, "%s: a timer that adds a timer waits a turn",
	    backend);
	pfk_loop_free(loop);
}

static void
test_embedded_soon(void)
{
	struct pfk__soon a = {.order = 0}, b = {.order = 0};
	int calls = 0;

	begin();
	pfk__soon_add(loop, &a, count, &calls);
	pfk__soon_add(loop, &a, count, &calls);
	pfk__soon_add(loop, &b, count, &calls);
	pfk__soon_cancel(loop, &b);
	pfk__soon_cancel(loop, &b);
	pfk_loop_run(loop);
	is_int(calls, 1, "%s: queued twice is called once, cancelled never",
	    backend);
	pfk_loop_free(loop);
}

/* ends */

static int io_calls;
static struct pfk_io *the_io;

static void
on_io(void *arg, unsigned ready)
{
	(void)arg;
	(void)ready;
	io_calls++;
}

static void
test_ends(void)
{
	int calls = 0;

	begin();
	is_str(pfk_loop_backend(loop), backend, "%s: its name", backend);
	is_int(pfk_loop_run(loop), 0, "%s: nothing to do: it ends", backend);
	pfk_soon(loop, stop, NULL);
	pfk_soon(loop, count, &calls);
	pfk_later(loop, PFK_MSEC_NS, count, &calls);
	pfk_loop_run(loop);
	is_int(calls, 1, "%s: stop ends after the round", backend);
	pfk_loop_run(loop);
	is_int(calls, 2, "%s: and run goes on", backend);
	pfk_loop_free(loop);
}

static void
test_free(void)
{
	int before = unit_count_fds(), fd = eventfd(1, EFD_CLOEXEC), calls = 0;

	begin();
	for (int i = 0; i < 100; i++) {
		pfk_soon(loop, count, &calls);
		pfk_later(loop, (uint64_t)i, count, &calls);
	}
	the_io = pfk_io_add(loop, fd, PFK_READ, on_io, NULL);
	io_calls = 0;
	pfk_io_cancel(&the_io);
	pfk_loop_free(loop);
	pfk_loop_free(NULL);
	is_int(calls + io_calls, 0, "%s: freeing calls nobody", backend);
	close(fd);
	is_int(unit_count_fds(), before, "%s: and leaves no descriptor",
	    backend);
}

/* A child that frees its copy takes nothing from its parent's. */
static void
test_fork(void)
{
	int fd = eventfd(1, EFD_CLOEXEC), status = -1;
	pid_t pid;

	begin();
	the_io = pfk_io_add(loop, fd, PFK_READ, on_io, NULL);
	io_calls = 0;
	unit_run_until(loop, &io_calls, 1);
	pid = fork();
	if (pid == 0) {
		pfk_loop_free(loop);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	is_int(status, 0, "%s: a child frees its copy", backend);
	ok(unit_run_until(loop, &io_calls, 2), "%s: the parent's goes on",
	    backend);
	pfk_io_cancel(&the_io);
	close(fd);
	pfk_loop_free(loop);
}

/* members */

static struct pfk__member members[3];

/* The second ends the third: the list changes under the drain. */
static void
on_drain(struct pfk__member *m, enum pfk_drain how)
{
	mark((char)('a' + (m - members)));
	mark((char)('0' + (int)how));
	if (m == &members[1] && how == PFK_DRAIN_NOW) {
		pfk__member_remove(loop, &members[0]);
		pfk__member_remove(loop, m);
	}
}

static void
test_drain(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	begin();
	the_io = pfk_io_add(loop, fd, PFK_READ, on_io, NULL);
	for (int i = 0; i < 2; i++)
		pfk__member_add(loop, &members[i], on_drain);
	pfk_loop_drain(loop, PFK_DRAIN_LEAVE);
	is_str(trail, "", "%s: drain: not from inside the call", backend);
	unit_settle(loop);
	is_str(trail, "b0a0", "%s: each member is told", backend);
	pfk_loop_drain(loop, PFK_DRAIN_LEAVE);
	unit_settle(loop);
	is_str(trail, "b0a0", "%s: once a level", backend);
	pfk_loop_drain(loop, PFK_DRAIN_STOP);
	pfk_loop_drain(loop, PFK_DRAIN_LEAVE);
	unit_settle(loop);
	is_str(trail, "b0a0b1a1", "%s: never back", backend);
	pfk_loop_drain(loop, PFK_DRAIN_NOW);
	is_int(pfk_loop_run(loop), 0,
	    "%s: drained, it ends with the last member, descriptors or not",
	    backend);
	is_str(trail, "b0a0b1a1b2", "%s: a member may end another", backend);
	pfk_io_cancel(&the_io);
	close(fd);
	pfk_loop_free(loop);
}

/* A loop that is held goes on, drained or not, until it is released. */
static void
release(void *arg)
{
	mark('r');
	pfk_loop_release(arg);
}

static void
test_hold(void)
{
	begin();
	pfk_loop_hold(loop);
	pfk_loop_hold(loop);
	pfk_loop_drain(loop, PFK_DRAIN_NOW);
	pfk_later(loop, PFK_MSEC_NS, release, loop);
	pfk_later(loop, 2 * PFK_MSEC_NS, release, loop);
	pfk_later(loop, 3600 * PFK_SECOND_NS, release, loop);
	is_int(pfk_loop_run(loop), 0, "%s: held: it ends", backend);
	is_str(trail, "rr", "%s: with the last release", backend);
	pfk_loop_free(loop);
}

/* An address space that is full. ASan's own is as large as it wants. */
static void
test_no_memory(void)
{
#ifndef __SANITIZE_ADDRESS__
	struct rlimit old, little = {1 << 20, 1 << 20};

	getrlimit(RLIMIT_AS, &old);
	little.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_AS, &little);
	loop = pfk_loop_new(backend);
	setrlimit(RLIMIT_AS, &old);
	ok(loop == NULL && errno == ENOMEM, "%s: no memory, no loop", backend);
#endif
}

/* resting */

static int turns_left;

static void
count_down(void *arg, unsigned ready)
{
	(void)arg;
	(void)ready;
	/* So the window does not end. */
	loop->coalesce.begin_ns = pfk_loop_now(loop);
	if (--turns_left == 0)
		pfk_loop_stop(loop);
}

static void
for_ever(void *arg)
{
	pfk_soon(loop, for_ever, arg);
}

/* How many rests there are in ten turns, as if a trial had paid. */
static int
rests(bool on, bool pending)
{
	int fd = eventfd(1, EFD_CLOEXEC);
	struct pfk_io *io;

	begin();
	pfk__loop_coalesce(loop, on);
	loop->coalesce.rest = true;
	loop->coalesce.begin_ns = pfk_loop_now(loop);
	turns_left = 10;
	io = pfk_io_add(loop, fd, PFK_READ, count_down, NULL);
	if (pending)
		for_ever(NULL);
	naps = 0;
	pfk_loop_run(loop);
	pfk_io_cancel(&io);
	pfk_loop_free(loop);
	close(fd);
	return naps;
}

static void
test_rests(void)
{
	is_int(rests(true, false), 10, "%s: ten turns, ten rests", backend);
	is_int(nap_ns, 50000, "%s: of 50 us", backend);
	is_int(prctl(PR_GET_TIMERSLACK), 1000, "%s: timer slack", backend);
	is_int(rests(true, true), 0, "%s: none where work is pending", backend);
	is_int(rests(false, false), 0, "%s: none unless asked", backend);
}

int
main(void)
{
	errno = 0;
	ok(pfk_loop_new("kqueue") == NULL, "an unknown back-end");
	is_int(errno, EINVAL, "is invalid");
	for (int i = 0; i < 2; i++) {
		struct pfk_loop *l = pfk_loop_new(i == 0 ? NULL : "auto");

		is_str(pfk_loop_backend(l), "epoll", "the best one");
		pfk_loop_free(l);
	}
	for (int i = 0; unit_backends[i] != NULL; i++) {
		backend = unit_backends[i];
		test_order();
		test_rounds();
		test_embedded_soon();
		test_ends();
		test_free();
		test_fork();
		test_drain();
		test_hold();
		test_rests();
		test_no_memory();
	}
	return done_testing();
}
