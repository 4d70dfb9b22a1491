/*
 * unit-misuse-event.c: mistakes in the use of loops and of the calls beside
 * them, timers to zones. Each one fails with its errno and one line that names it.
 */
#include <errno.h>
#include <limits.h>
#include <prefork.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "misuse.h"
#include "tap.h"

static int result;

static void
nothing(void *arg)
{
	(void)arg;
}

static int
strange_backend(void)
{
	return pfk_loop_new("kqueue") == NULL ? errno : 0;
}

static int
soon_nothing(void)
{
	return pfk_soon(misuse_loop, NULL, NULL) == -1 ? errno : 0;
}

static int
later_nothing(void)
{
	return pfk_later(misuse_loop, 1, NULL, NULL) == -1 ? errno : 0;
}

static int
release_unheld(void)
{
	pfk_loop_hold(misuse_loop);
	if (pfk_loop_release(misuse_loop) == -1)
		return 0;
	return pfk_loop_release(misuse_loop) == -1 ? errno : 0;
}

static int
timer_nothing(void)
{
	struct pfk_timer *t = NULL;

	return pfk_timer_set(&t, misuse_loop, 1, NULL, NULL) == -1 ? errno : 0;
}

static void
on_ready(void *arg, unsigned ready)
{
	(void)arg;
	(void)ready;
}

static int
io_nothing(void)
{
	return pfk_io_add(misuse_loop, 0, PFK_READ, NULL, NULL) == NULL ? errno
									: 0;
}

static int
io_of(int fd)
{
	return pfk_io_add(misuse_loop, fd, PFK_READ, on_ready, NULL) == NULL
	    ? errno
	    : 0;
}

static int
io_closed(void)
{
	return io_of(1000000);
}

static int
io_beyond(void)
{
	return io_of(INT_MAX);
}

static int
io_negative(void)
{
	return io_of(-1);
}

static int
signal_nothing(void)
{
	return pfk_signal_add(misuse_loop, SIGUSR2, NULL, NULL) == NULL ? errno
									: 0;
}

static void
on_signal(void *arg, int signo)
{
	(void)arg;
	(void)signo;
}

static int
signal_twice(void)
{
	pfk_signal_add(misuse_loop, SIGUSR2, on_signal, NULL);
	return pfk_signal_add(misuse_loop, SIGUSR2, on_signal, NULL) == NULL
	    ? errno
	    : 0;
}

static void
run_again(void *arg)
{
	(void)arg;
	result = pfk_loop_run(misuse_loop) == -1 ? errno : 0;
}

static int
nested_loop(void)
{
	pfk_soon(misuse_loop, run_again, NULL);
	pfk_loop_run(misuse_loop);
	return result;
}

static void
free_it(void *arg)
{
	(void)arg;
	pfk_loop_free(misuse_loop);
}

/* It goes on as if nothing had happened. */
static int
freed_inside(void)
{
	pfk_soon(misuse_loop, free_it, NULL);
	return pfk_loop_run(misuse_loop) == 0 ? EBUSY : 0;
}

static void
fork_and_return(void *arg)
{
	int *in_child = arg, status = 0;
	pid_t pid = fork();

	*in_child = pid == 0;
	if (pid > 0)
		waitpid(pid, &status, 0);
	result = pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}

/* The child's run ends with an errno, and the parent's does not. */
static int
forked(void (*start)(void (*cb)(void *arg), void *arg))
{
	int in_child = 0, rc;

	start(fork_and_return, &in_child);
	rc = pfk_loop_run(misuse_loop);
	if (in_child)
		_exit(rc == -1 ? errno : 0);
	return rc == 0 ? result : 0;
}

static void
by_soon(void (*cb)(void *arg), void *arg)
{
	pfk_soon(misuse_loop, cb, arg);
}

static void
by_timer(void (*cb)(void *arg), void *arg)
{
	pfk_later(misuse_loop, 1, cb, arg);
}

static int
forked_soon(void)
{
	return forked(by_soon);
}

static int
forked_timer(void)
{
	return forked(by_timer);
}

static int
run_in_child(void)
{
	int status = 0;
	pid_t pid;

	pfk_soon(misuse_loop, nothing, NULL);
	pid = fork();
	if (pid == 0)
		_exit(pfk_loop_run(misuse_loop) == -1 ? errno : 0);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}

static int
drain(int how)
{
	errno = 0;
	pfk_loop_drain(misuse_loop, (enum pfk_drain)how);
	return errno;
}

static int
drain_further(void)
{
	return drain(7);
}

static int
drain_less(void)
{
	return drain(-5);
}

static int
put_when(int when)
{
	struct pfk_zone *z = pfk_zone_open(NULL, 1 << 20);

	return pfk_zone_put(z, "k", 1, "v", 1, (enum pfk_zone_when)when,
		   NULL) == -1
	    ? errno
	    : 0;
}

static int
put_strangely(void)
{
	return put_when(9);
}

static int
put_never(void)
{
	return put_when(-1);
}

static int
strange_metric(void)
{
	return pfk_metric_define((enum pfk_metric_kind)7, "a_total", "A.") == -1
	    ? errno
	    : 0;
}

static void
ended(void *arg, int status)
{
	(void)arg;
	(void)status;
}

static int
start(char *const *argv)
{
	return pfk_subprocess_start(misuse_loop, argv, NULL, ended, NULL) ==
		NULL
	    ? errno
	    : 0;
}

static int
start_nothing(void)
{
	char *const none[] = {NULL};

	return start(none);
}

static int
start_no_list(void)
{
	return start(NULL);
}

static int
start_closed(void)
{
	char *const argv[] = {(char *)(uintptr_t) "true", NULL};
	const int fds[3] = {-1, 9999, -1};

	return pfk_subprocess_start(misuse_loop, argv, fds, ended, NULL) == NULL
	    ? errno
	    : 0;
}

static int
watch_nothing(void)
{
	return pfk_subprocess_watch(misuse_loop, -1, ended, NULL) == NULL
	    ? errno
	    : 0;
}

static const struct misuse rows[] = {
    {"a back-end that there is not", strange_backend, EINVAL,
	"pfk_loop_new: the back-end is kqueue; it is epoll, poll or auto"},
    {"release of a loop that is not held", release_unheld, EINVAL,
	"pfk_loop_release: the loop is not held"},
    {"soon nothing", soon_nothing, EINVAL, "pfk_soon: the callback is NULL"},
    {"later nothing", later_nothing, EINVAL, "pfk_later: the callback is NULL"},
    {"a timer of nothing", timer_nothing, EINVAL,
	"pfk_timer_set: the callback is NULL"},
    {"a descriptor without callback", io_nothing, EINVAL,
	"pfk_io_add: the callback is NULL"},
    {"a closed descriptor", io_closed, EBADF,
	"pfk_io_add: descriptor 1000000 is not open"},
    {"a descriptor that cannot be", io_beyond, EBADF,
	"pfk_io_add: descriptor 2147483647 is not open"},
    {"a negative descriptor", io_negative, EBADF,
	"pfk_io_add: descriptor -1 is not open"},
    {"a signal without callback", signal_nothing, EINVAL,
	"pfk_signal_add: the callback is NULL"},
    {"a signal twice", signal_twice, EBUSY, "signal 12 is taken"},
    {"a drain that there is not", drain_further, EINVAL,
	"pfk_loop_drain: `how` is 7"},
    {"a negative drain", drain_less, EINVAL, "pfk_loop_drain: `how` is -5"},
    {"put at a strange time", put_strangely, EINVAL,
	"pfk_zone_put: `when` is 9"},
    {"put at a negative time", put_never, EINVAL, "pfk_zone_put: `when` is -1"},
    {"a metric of no kind", strange_metric, EINVAL,
	"pfk_metric_define: 7 is no enum pfk_metric_kind"},
    {"a subprocess of no program", start_nothing, EINVAL,
	"pfk_subprocess_start: no program"},
    {"a subprocess of no list", start_no_list, EINVAL,
	"pfk_subprocess_start: no program"},
    {"a subprocess with a closed descriptor", start_closed, EBADF,
	"pfk_subprocess_start: descriptor 9999 is not open"},
    {"a watch of no process", watch_nothing, EINVAL,
	"pfk_subprocess_watch: -1 is no process"},
    {"a nested loop", nested_loop, EBUSY, "the loop runs already"},
    {"a loop freed by its callback", freed_inside, EBUSY,
	"pfk_loop_free: the loop runs"},
    {"a fork that returns", forked_soon, ECHILD, "the child of a fork(2)"},
    {"a fork that returns to a timer", forked_timer, ECHILD,
	"the child of a fork(2)"},
    {"a loop in a child", run_in_child, ECHILD,
	"pfk_loop_run: the loop belongs to the process"},
};

int
main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		misuse_try(&rows[i]);
	return done_testing();
}
