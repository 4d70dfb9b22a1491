/*
 * signal.c: signals as loop events, on each back-end.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "unit.h"

static const char *backend;
static struct pfk_signal *usr1, *usr2;
static int calls, last;

static void
on_signal(void *arg, int signo)
{
	(void)arg;
	calls++;
	last = signo;
}

static void
on_signal_once(void *arg, int signo)
{
	on_signal(arg, signo);
	pfk_signal_cancel(&usr1);
	pfk_signal_cancel(&usr2);
}

static void
test_delivery(void)
{
	struct pfk_loop *l = pfk_loop_new(backend);

	calls = 0;
	usr1 = pfk_signal_add(l, SIGUSR1, on_signal, NULL);
	raise(SIGUSR1);
	raise(SIGUSR1);
	is_int(calls, 0, "%s: not from inside raise(3)", backend);
	ok(unit_run_until(l, &calls, 1), "%s: but from the loop", backend);
	is_int(last, SIGUSR1, "%s: with its number", backend);
	unit_settle(l);
	is_int(calls, 1, "%s: several at once are one", backend);
	for (int i = 2; i <= 200; i++) {
		raise(SIGUSR1);
		unit_run_until(l, &calls, i);
	}
	is_int(calls, 200, "%s: none is lost", backend);
	pfk_signal_cancel(&usr1);
	ok(usr1 == NULL, "%s: del clears the handle", backend);
	pfk_signal_cancel(&usr1);
	pfk_loop_free(l);
}

/* One from elsewhere, while the loop waits or is about to. */
static void
test_from_child(void)
{
	struct pfk_loop *l = pfk_loop_new(backend);
	pid_t pid;

	calls = 0;
	usr1 = pfk_signal_add(l, SIGUSR1, on_signal_once, NULL);
	usr2 = pfk_signal_add(l, SIGUSR2, on_signal, NULL);
	pid = fork();
	if (pid == 0)
		_exit(kill(getppid(), SIGUSR1));
	is_int(pfk_loop_run(l), 0, "%s: it waits for signals, and ends without",
	    backend);
	is_int(calls, 1, "%s: after the one", backend);
	waitpid(pid, NULL, 0);
	pfk_loop_free(l);
}

static void
test_ownership(void)
{
	struct pfk_loop *a = pfk_loop_new(backend), *b = pfk_loop_new(backend);
	int before = unit_count_fds();
	struct sigaction now;

	signal(SIGUSR1, SIG_IGN);
	usr1 = pfk_signal_add(a, SIGUSR1, on_signal, NULL);
	ok(pfk_signal_add(a, SIGUSR1, on_signal, NULL) == NULL &&
		errno == EBUSY,
	    "%s: a signal has one callback", backend);
	ok(pfk_signal_add(b, SIGUSR2, on_signal, NULL) == NULL &&
		errno == EBUSY,
	    "%s: signals belong to one loop at a time", backend);
	raise(SIGUSR1);
	calls = 0;
	pfk_loop_free(a);
	is_int(calls, 0, "%s: freeing the loop calls nobody", backend);
	sigaction(SIGUSR1, NULL, &now);
	ok(now.sa_handler == SIG_IGN, "%s: the old disposition is back",
	    backend);
	usr2 = pfk_signal_add(b, SIGUSR2, on_signal, NULL);
	ok(usr2 != NULL, "%s: now the other loop may have them", backend);
	pfk_loop_free(b);
	signal(SIGUSR1, SIG_DFL);
	ok(unit_count_fds() <= before, "%s: no descriptor is left", backend);
}

static void
test_refused(void)
{
	struct pfk_loop *a = pfk_loop_new(backend), *b = pfk_loop_new(backend);

	ok(pfk_signal_add(a, SIGKILL, on_signal, NULL) == NULL &&
		errno == EINVAL,
	    "%s: SIGKILL cannot be had", backend);
	is_int(pfk_loop_run(a), 0, "%s: nor waited for", backend);
	usr1 = pfk_signal_add(b, SIGUSR1, on_signal, NULL);
	ok(usr1 != NULL, "%s: a failed call owns nothing", backend);
	pfk_loop_free(a);
	pfk_loop_free(b);
}

int
main(void)
{
	for (int i = 0; unit_backends[i] != NULL; i++) {
		backend = unit_backends[i];
		test_delivery();
		test_from_child();
		test_ownership();
		test_refused();
	}
	return done_testing();
}
