/*
 * timer.c: order and time, and that a handle is set exactly while its callback
 * is going to be called. Every case runs on each back-end.
 */
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "event/loop.h"
#include "tap.h"
#include "unit.h"

static struct pfk_loop *loop;
static const char *backend;
static char trail[64]; /* one letter a callback */
static struct pfk_timer *timer, *other;

static void
put(void *arg)
{
	size_t n = strlen(trail);

	if (n + 1 < sizeof(trail)) {
		trail[n] = *(const char *)arg;
		trail[n + 1] = '\0';
	}
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

static void
cancel_other(void *arg)
{
	put(arg);
	pfk_timer_cancel(&other);
}

static void
test_order(void)
{
	struct pfk_timer *none = NULL;

	begin();
	pfk_later(loop, 3 * PFK_MSEC_NS, put, (void *)(uintptr_t) "d");
	pfk_later(loop, PFK_MSEC_NS, put, (void *)(uintptr_t) "a");
	pfk_later(loop, PFK_MSEC_NS, cancel_other, (void *)(uintptr_t) "b");
	pfk_timer_set(&other, loop, PFK_MSEC_NS, put, (void *)(uintptr_t) "!");
	pfk_later(loop, PFK_MSEC_NS, put, (void *)(uintptr_t) "c");
	pfk_loop_run(loop);
	is_str(trail, "abcd", "%s: by time, then by arrival; cancel", backend);
	ok(other == NULL, "%s: cancelling clears the handle", backend);
	pfk_timer_cancel(&none);
	pfk_loop_free(loop);
}

static void
test_times(void)
{
	uint64_t start, turns;
	int calls = 0;

	begin();
	start = pfk_loop_now(loop);
	turns = loop->turns;
	pfk_later(loop, 20 * PFK_MSEC_NS + 1, count, &calls);
	pfk_loop_run(loop);
	ok(pfk_loop_now(loop) > start + 20 * PFK_MSEC_NS,
	    "%s: a timer is never early", backend);
	ok(loop->turns - turns <= 2, "%s: nor does it spin: %d turns", backend,
	    (int)(loop->turns - turns));

	pfk_timer_set(&timer, loop, UINT64_MAX, count, &calls);
	pfk_later(loop, PFK_MSEC_NS, stop, NULL);
	pfk_loop_run(loop);
	is_int(calls, 1, "%s: the longest time does not wrap", backend);
	pfk_timer_cancel(&timer);
	is_int(pfk_loop_run(loop), 0, "%s: nothing left: it ends", backend);
	pfk_loop_free(loop);
}

/* A timer of its size, which would get the memory of the one that has ended. */
static void
cancel_own(void *arg)
{
	put(arg);
	ok(timer == NULL, "%s: the handle is cleared first", backend);
	pfk_timer_set(&other, loop, PFK_MSEC_NS, put, (void *)(uintptr_t) "b");
	pfk_timer_cancel(&timer);
}

static void
test_cancel_own(void)
{
	begin();
	pfk_timer_set(&timer, loop, PFK_MSEC_NS, cancel_own,
	    (void *)(uintptr_t) "a");
	ok(timer != NULL, "%s: a handle is set while the timer is", backend);
	pfk_loop_run(loop);
	is_str(trail, "ab", "%s: cancelled in its callback, it takes no other",
	    backend);
	ok(other == NULL, "%s: nor is any handle left", backend);
	pfk_timer_cancel(&timer);
	pfk_timer_cancel(&other);
	pfk_loop_free(loop);
}

static int rounds;

static void
again(void *arg)
{
	put(arg);
	if (++rounds < 3)
		pfk_timer_set(&timer, loop, 0, again, arg);
}

static void
test_again(void)
{
	struct pfk_loop *elsewhere;
	int calls = 0;

	begin();
	rounds = 0;
	pfk_timer_set(&timer, loop, 60 * PFK_SECOND_NS, count, &calls);
	pfk_timer_set(&timer, loop, 2 * PFK_MSEC_NS, again,
	    (void *)(uintptr_t) "a");
	pfk_timer_set(&other, loop, PFK_MSEC_NS, put, (void *)(uintptr_t) "b");
	pfk_timer_set(&other, loop, 9 * PFK_MSEC_NS, put,
	    (void *)(uintptr_t) "c");
	is_int(loop->timers.len, 2, "%s: setting again adds none", backend);
	pfk_loop_run(loop);
	/* In any order, because this process may not have run for long. */
	is_int(rounds, 3, "%s: the last time and callback count", backend);
	ok(strchr(trail, 'b') == NULL && strchr(trail, 'c') != NULL,
	    "%s: of the second one, too", backend);
	is_int(calls, 0, "%s: not the first ones", backend);
	ok(timer == NULL, "%s: nor is a handle left", backend);

	elsewhere = pfk_loop_new(backend);
	pfk_timer_set(&timer, loop, PFK_MSEC_NS, count, &calls);
	pfk_timer_set(&timer, elsewhere, PFK_MSEC_NS, count, &calls);
	pfk_loop_run(loop);
	is_int(calls, 0, "%s: it has gone to another loop", backend);
	pfk_loop_run(elsewhere);
	is_int(calls, 1, "%s: which calls", backend);
	pfk_loop_free(elsewhere);
	pfk_loop_free(loop);
}

static void
test_free(void)
{
	int calls = 0;

	begin();
	pfk_timer_set(&timer, loop, 0, count, &calls);
	pfk_later(loop, 0, count, &calls);
	pfk_loop_free(loop);
	is_int(calls, 0, "%s: freeing the loop calls nobody", backend);
	ok(timer == NULL, "%s: and clears the handle", backend);
	pfk_timer_cancel(&timer);
}

/* A copy would not be cleared: the first use of one ends the program. */
static void
test_copy(void)
{
	struct pfk_timer *copy;
	int status = 0, calls = 0;
	pid_t pid;

	begin();
	pfk_timer_set(&timer, loop, 0, count, &calls);
	copy = timer;
	pid = fork();
	if (pid == 0) {
		struct rlimit none = {0, 0};

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL);
		close(STDERR_FILENO);
		pfk_timer_cancel(&copy);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	is_int(WIFSIGNALED(status) ? WTERMSIG(status) : 0, SIGABRT,
	    "%s: a copied handle is the program's mistake", backend);
	pfk_loop_free(loop);
}

int
main(void)
{
	for (int i = 0; unit_backends[i] != NULL; i++) {
		backend = unit_backends[i];
		test_order();
		test_times();
		test_cancel_own();
		test_again();
		test_free();
		test_copy();
	}
	return done_testing();
}
