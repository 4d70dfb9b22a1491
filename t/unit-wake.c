/*
 * wake.c, and a loop that is a part of another one. Every case runs on each
 * back-end.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "event/loop.h"
#include "tap.h"
#include "unit.h"

#define THREADS 4
#define CALLS 1000

static struct pfk_loop *loop;
static struct pfk_wake *wake;
static const char *backend;
static int fds_before, woken, ticks;

static void
on_wake(void *arg)
{
	(void)arg;
	woken++;
}

static void *
call_often(void *arg)
{
	for (int i = 0; i < CALLS; i++)
		pfk_wake(arg);
	return NULL;
}

static void
handle(int signo)
{
	(void)signo;
	pfk_wake(wake); /* It is safe here. NOLINT */
}

static void
test_wake(void)
{
	pthread_t threads[THREADS];

	loop = pfk_loop_new(backend);
	woken = 0;
	wake = pfk_wake_new(loop, on_wake, NULL);
	pfk_wake(wake);
	pfk_wake(wake);
	unit_run_until(loop, &woken, 1);
	unit_settle(loop);
	is_int(woken, 1, "%s: two calls, one callback", backend);
	signal(SIGUSR1, handle);
	errno = ENOENT;
	raise(SIGUSR1);
	is_int(errno, ENOENT, "%s: a handler's errno is kept", backend);
	signal(SIGUSR1, SIG_DFL);
	ok(unit_run_until(loop, &woken, 2), "%s: by a signal handler", backend);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, call_often, wake);
	ok(unit_run_until(loop, &woken, 3), "%s: by threads", backend);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	unit_settle(loop);
	woken = 0;
	pfk_wake(wake);
	ok(unit_run_until(loop, &woken, 1), "%s: and then again", backend);
	pfk_wake(wake);
	pfk_wake_cancel(&wake);
	ok(wake == NULL, "%s: its handle is cleared", backend);
	pfk_wake_cancel(&wake);
	is_int(pfk_loop_run(loop), 0, "%s: then the loop ends", backend);
	is_int(woken, 1, "%s: without a call", backend);
	pfk_loop_free(loop);
	is_int(unit_count_fds(), fds_before, "%s: no descriptor is left",
	    backend);
}

static void
tick(void *arg)
{
	(void)arg;
	ticks++;
}

/* The other loop: poll(2).  Returns the last result of pfk_loop_turn. */
static int
turn_until(const int *value, int least)
{
	struct pollfd p = {.fd = pfk_loop_fd(loop), .events = POLLIN};
	int wait_ms, rc;

	while ((rc = pfk_loop_turn(loop, &wait_ms)) == 1 && *value < least)
		poll(&p, 1, wait_ms);
	return rc;
}

static void
inner_turn(void *arg)
{
	int wait_ms;

	errno = 0;
	*(int *)arg = pfk_loop_turn(loop, &wait_ms) == -1 ? errno : 1;
}

static void
test_embedded(void)
{
	int wait_ms = 0, inner = 0;
	uint64_t begun;

	loop = pfk_loop_new(backend);
	errno = 0;
	if (pfk_loop_fd(loop) == -1) {
		is_int(errno, EOPNOTSUPP, "%s: has no descriptor", backend);
		pfk_loop_free(loop);
		return;
	}
	ticks = woken = 0;
	is_int(pfk_loop_turn(loop, &wait_ms), 0, "%s: nothing to wait for",
	    backend);
	wake = pfk_wake_new(loop, on_wake, NULL);
	is_int(pfk_loop_turn(loop, &wait_ms), 1, "%s: something", backend);
	is_int(wait_ms, -1, "%s: for any time", backend);
	pfk_wake(wake);
	is_int(turn_until(&woken, 1), 1, "%s: the descriptor tells", backend);
	/* Later than the last turn: its time counts from now. */
	usleep(20000);
	begun = pfk__clock_now();
	pfk_later(loop, 10 * PFK_MSEC_NS, tick, NULL);
	pfk_loop_turn(loop, &wait_ms);
	ok(ticks == 0 && wait_ms > 0 && wait_ms <= 11,
	    "%s: a timer says how long: %d ms", backend, wait_ms);
	turn_until(&ticks, 1);
	ok(pfk__clock_now() - begun >= 10 * PFK_MSEC_NS, "%s: it is not early",
	    backend);
	pfk_soon(loop, inner_turn, &inner);
	is_int(turn_until(&inner, 1), 1, "%s: soon", backend);
	is_int(inner, EBUSY, "%s: no turn within a turn", backend);
	pfk_wake_cancel(&wake);
	is_int(pfk_loop_turn(loop, &wait_ms), 0, "%s: it is over", backend);
	pfk_loop_free(loop);
	is_int(unit_count_fds(), fds_before, "%s: no descriptor is left",
	    backend);
}

int
main(void)
{
	fds_before = unit_count_fds();
	for (int i = 0; unit_backends[i] != NULL; i++) {
		backend = unit_backends[i];
		test_wake();
		test_embedded();
	}
	return done_testing();
}
