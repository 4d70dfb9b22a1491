/*
 * signals.c: which signals may end a process of the service, and when.
 *
 * Layer: base.  signal(7): the default of most signals is to end the process.
 * A stray one must not end a service, and no signal may do so while the pid
 * file and the workers still have to be looked after.  The handlers themselves
 * are the loop's (event/signal.c).
 */
#include "base/signals.h"

#include <prefork.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fds.h"

/* NPTL keeps two real-time signals below SIGRTMIN for itself. */
#define FIRST_RT 32

static const int strays[] = {SIGUSR2, SIGPIPE, SIGALRM, SIGVTALRM, SIGPROF,
    SIGIO, SIGPWR, SIGSTKFLT, SIGXCPU, SIGXFSZ};
static const int crashes[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS,
    SIGTRAP};
static const int stops[] = {SIGTERM, SIGINT, SIGQUIT};

/* Those that the library ignores, and the program did not. */
static bool ignored[NSIG];

#define N(array) (sizeof(array) / sizeof((array)[0]))

/*
 * sigaction(2) as the kernel has it, because glibc's refuses the signals that
 * NPTL keeps.  The handler comes first in the kernel's struct, and all else of
 * it is zero here.
 */
static void
ignore_reserved(int signo)
{
	struct {
		void (*handler)(int);
		unsigned long rest[19];
	} now = {0}, nothing = {.handler = SIG_IGN};

	if (syscall(SYS_rt_sigaction, signo, NULL, &now, NSIG / 8) == 0 &&
	    now.handler == SIG_DFL)
		syscall(SYS_rt_sigaction, signo, &nothing, NULL, NSIG / 8);
}

static void
ignore(int signo)
{
	struct sigaction now;

	if (sigaction(signo, NULL, &now) == -1 || now.sa_handler != SIG_DFL)
		return;
	signal(signo, SIG_IGN);
	ignored[signo] = true;
}

void
pfk__signals_ignore_strays(void)
{
	for (size_t i = 0; i < N(strays); i++)
		ignore(strays[i]);
	for (int signo = FIRST_RT; signo < SIGRTMIN; signo++)
		ignore_reserved(signo);
	for (int signo = SIGRTMIN; signo <= SIGRTMAX; signo++)
		ignore(signo);
}

void
pfk__signals_restore(void)
{
	for (int signo = 1; signo < NSIG; signo++) {
		if (ignored[signo])
			signal(signo, SIG_DFL);
		ignored[signo] = false;
	}
}

static void
do_nothing(int signo)
{
	(void)signo;
}

static void catch (int signo)
{
	struct sigaction nothing = {.sa_handler = do_nothing,
	    .sa_flags = SA_RESTART};

	sigaction(signo, &nothing, NULL);
}

void
pfk__signals_catch(void)
{
	static const int commands[] = {SIGHUP, SIGUSR1};
	struct sigaction now;

	for (int signo = 1; signo < NSIG; signo++) {
		if (ignored[signo])
			catch (signo);
	}
	for (size_t i = 0; i < N(commands); i++) {
		/* Ignored, it was so before us, as by nohup(1). */
		if (sigaction(commands[i], NULL, &now) == 0 &&
		    now.sa_handler != SIG_IGN)
			catch (commands[i]);
	}
	/* Caught, a write(2) to a terminal would begin anew for ever. */
	signal(SIGTTIN, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
}

void
pfk__signals_block(sigset_t *old)
{
	sigset_t set;

	sigfillset(&set);
	for (size_t i = 0; i < N(crashes); i++)
		sigdelset(&set, crashes[i]);
	sigprocmask(SIG_BLOCK, &set, old);
}

void
pfk__signals_allow(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void
pfk__signals_drop(const sigset_t *old)
{
	static const struct timespec at_once;
	sigset_t all;

	sigfillset(&all);
	while (sigtimedwait(&all, NULL, &at_once) > 0)
		continue;
	sigprocmask(SIG_SETMASK, old, NULL);
}

int
pfk__signals_may_wait(void)
{
	static const struct timespec at_once;
	sigset_t none;

	sigemptyset(&none);
	sigtimedwait(&none, NULL, &at_once);
	return pfk__is_denied(errno) ? -1 : 0;
}

void
pfk__signals_forked(void)
{
	struct sigaction now;
	sigset_t stop;

	for (int signo = 1; signo <= SIGRTMAX; signo++) {
		if (sigaction(signo, NULL, &now) == 0 &&
		    now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN)
			signal(signo, SIG_IGN);
	}
	sigemptyset(&stop);
	for (size_t i = 0; i < N(stops); i++) {
		signal(stops[i], SIG_DFL);
		sigaddset(&stop, stops[i]);
	}
	sigprocmask(SIG_UNBLOCK, &stop, NULL);
}

void
pfk_signals_prepare(void)
{
	sigset_t commands;

	pfk__signals_ignore_strays();
	sigemptyset(&commands);
	sigaddset(&commands, SIGHUP);
	sigaddset(&commands, SIGUSR1);
	sigaddset(&commands, SIGUSR2);
	sigaddset(&commands, SIGTTIN);
	sigaddset(&commands, SIGTTOU);
	sigprocmask(SIG_BLOCK, &commands, NULL);
}

void
pfk_signals_hold(void)
{
	pfk__signals_block(NULL);
}
