/*
 * Signals at the moments between which a process changes its handlers: no hook
 * of a master or a worker is ended by one that is not meant to end it, and none
 * at all ends the master once its loop is left.
 */
#include <prefork.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/signals.h"
#include "service.h"
#include "tap.h"

static const int fatal[] = {SIGKILL, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV,
    SIGSYS, SIGTRAP};
static const int stops[] = {SIGSTOP, SIGTSTP};
static const int orders[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGTTIN,
    SIGTTOU};

#define N(array) (sizeof(array) / sizeof((array)[0]))

static bool
among(int signo, const int *list, size_t n)
{
	while (n > 0 && list[n - 1] != signo)
		n--;
	return n > 0;
}

/* Send this process each signal that is none of an order and none of a crash. */
static void
raise_all(bool orders_too)
{
	for (int signo = 1; signo <= SIGRTMAX; signo++) {
		if (!among(signo, fatal, N(fatal)) &&
		    !among(signo, stops, N(stops)) &&
		    (orders_too || !among(signo, orders, N(orders))))
			kill(getpid(), signo);
	}
}

static void
nothing(void *arg)
{
	(void)arg;
}

/* The worker's pointer; it is only called. */
static void
end_user(void *user)
{
	if (user == end_user)
		pfk_log(PFK_INFO, "released");
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	(void)arg;
	raise_all(false);
	pfk_worker_set_user(w, end_user, end_user);
	if (pfk_worker_user(w) == end_user)
		pfk_log(PFK_INFO, "begun");
	/* Something to wait for: a loop without ends. */
	return pfk_later(pfk_worker_loop(w), 60 * PFK_SECOND_NS, nothing, NULL);
}

static void
worker_exit(struct pfk_worker *w, void *arg)
{
	(void)w;
	(void)arg;
	raise_all(true);
	pfk_log(PFK_INFO, "over");
}

static int
on_ready(void *arg)
{
	(void)arg;
	raise_all(false);
	pfk_log(PFK_INFO, "all begun");
	return 0;
}

static void
on_exit_master(int status, void *arg)
{
	(void)arg;
	raise_all(true);
	pfk_log(PFK_INFO, "all over: %d", status);
}

static void
test_hooks(void)
{
	static const struct pfk_hooks hooks = {.worker_init = worker_init,
	    .worker_exit = worker_exit,
	    .on_ready = on_ready,
	    .on_exit = on_exit_master};
	struct sigaction alarm_of_ours;
	int status;

	sigaction(SIGALRM, NULL, &alarm_of_ours);
	signal(SIGALRM, SIG_DFL);
	service_start(&hooks, 2);
	sigaction(SIGALRM, &alarm_of_ours, NULL);
	ok(service_wait(0, "ready: ") != 0, "the hooks of the start survive");
	is_int(service_count("] begun"), 2, "both workers have booted once");
	service_signal(SIGINT);
	ok(service_wait(0, "] all over: 0") != 0, "so do those of the end");
	is_int(service_count("] over"), 2, "both workers have ended once");
	is_int(service_count("] released"), 2, "and released their pointers");
	is_int(service_count("killed by"), 0, "no worker was killed");
	status = service_end(0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 0,
	    "no signal was left for the program: %#x", (unsigned)status);
}

static void
handler(int signo)
{
	(void)signo;
}

/* In a child, because it changes everything. */
static int
check_dispositions(void)
{
	struct sigaction now;
	sigset_t set;

	signal(SIGALRM, handler);
	signal(SIGTERM, handler);
	signal(SIGUSR1, handler);
	pfk_signals_prepare();
	raise_all(false);
	sigaction(SIGALRM, NULL, &now);
	if (now.sa_handler != handler)
		return 1;
	sigprocmask(SIG_BLOCK, NULL, &set);
	if (!sigismember(&set, SIGHUP) || sigismember(&set, SIGTERM))
		return 2;
	pfk_signals_hold();
	raise_all(true);
	sigprocmask(SIG_BLOCK, NULL, &set);
	if (!sigismember(&set, SIGTERM) || sigismember(&set, SIGSEGV))
		return 3;
	sigdelset(&set, SIGTERM);
	sigdelset(&set, SIGHUP);
	pfk__signals_drop(&set);
	sigpending(&set);
	if (sigismember(&set, SIGTERM) || sigismember(&set, SIGINT))
		return 4;
	pfk__signals_forked();
	sigaction(SIGTERM, NULL, &now);
	if (now.sa_handler != SIG_DFL)
		return 5;
	sigaction(SIGUSR1, NULL, &now);
	if (now.sa_handler != SIG_IGN)
		return 6;
	kill(getpid(), SIGTERM);
	return 7;
}

static void
test_dispositions(void)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(check_dispositions());
	waitpid(pid, &status, 0);
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM,
	    "handlers stay, orders wait, a child ends by SIGTERM: %#x",
	    (unsigned)status);
}

int
main(void)
{
	test_hooks();
	test_dispositions();
	return done_testing();
}
