/*
 * orders.c: the master's orders, by signals and control commands.
 *
 * Layer: process.  An order changes a wish, or begins a stop; it carries nothing
 * out that takes time.
 */
#include "process/orders.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>

#include "logger/logger.h"
#include "process/control.h"
#include "process/master.h"

/*
 * timeout(1) and others signal the master and then its whole group: a SIGTERM
 * so soon after another is the same order.
 */
#define SAME_STOP_NS PFK_SECOND_NS

bool
pfk__orders_stopping(const struct pfk__master *m)
{
	return m->stop != PFK__STOP_NONE || m->stop_delay != NULL;
}

static void
on_stop_delay(void *arg)
{
	struct pfk__master *m = arg;

	pfk_log(PFK_INFO, "stopping");
	pfk__master_stop(m, PFK__STOP_GRACEFUL, EX_OK, m->stop_bound_ns);
}

/* A second order does not begin the delay anew. */
void
pfk__orders_stop(struct pfk__master *m, uint64_t timeout_ns)
{
	uint64_t delay = m->config.stop_delay_ns;
	bool serves = m->started && m->stop == PFK__STOP_NONE && !m->awaiting;

	if (m->stop_delay != NULL)
		return;
	m->stop_bound_ns = timeout_ns;
	if (delay == 0 || !serves) {
		on_stop_delay(m);
		return;
	}
	pfk_log(PFK_INFO, "stopping in %g s; until then clients are served",
	    (double)delay / 1e9);
	pfk_timer_set(&m->stop_delay, m->loop, delay, on_stop_delay, m);
	pfk__notify_stopping(m);
}

void
pfk__orders_stop_now(struct pfk__master *m)
{
	pfk_log(PFK_INFO, "stopping at once");
	pfk__master_stop(m, PFK__STOP_FAST, EX_OK, 0);
}

void
pfk__orders_reload(struct pfk__master *m)
{
	pfk__control_restore(m);
	if (m->reload != PFK__RELOAD_SETTLED && !m->reload_wanted)
		pfk_log(PFK_INFO,
		    "a reload is under way; the next one starts when it has "
		    "ended");
	m->reload_wanted = true;
	pfk__master_wake(m);
}

int
pfk__orders_reopen(struct pfk__master *m)
{
	if (pfk_log_reopen() == -1) {
		int error = errno;

		pfk_complain("cannot reopen the log: %s; the old file stays in "
			     "use",
		    strerror(error));
		errno = error;
		return -1;
	}
	pfk__logger_reopened(m->logger);
	pfk_log(PFK_INFO, "reopened the log");
	return 0;
}

void
pfk__orders_workers(struct pfk__master *m, int workers)
{
	int before = m->workers;

	m->workers = workers;
	pfk__drains_end(m);
	m->resized = m->reload == PFK__RELOAD_PREPARING ||
	    m->reload == PFK__RELOAD_TRYING;
	pfk_log(PFK_INFO,
	    "the number of workers is %d until the next reload; it was %d",
	    workers, before);
	if (m->hooks->workers_changed != NULL)
		m->hooks->workers_changed(workers, m->arg);
	pfk__master_wake(m);
}

/* signals */

static void
on_stop_signal(void *arg, int signo)
{
	struct pfk__master *m = arg;
	uint64_t now = pfk_loop_now(m->loop);
	bool again = m->terminated && signo == SIGTERM;

	if (again && now - m->terminated_ns < SAME_STOP_NS) {
		pfk_log(PFK_INFO,
		    "SIGTERM again within a second: the same stop; a later one "
		    "stops at once");
		return;
	}
	if (signo == SIGTERM && !again)
		m->terminated_ns = now;
	m->terminated = m->terminated || signo == SIGTERM;
	if (signo == SIGINT || again)
		pfk__orders_stop_now(m);
	else
		pfk__orders_stop(m,
		    signo == SIGTERM ? m->config.shutdown_ns : 0);
}

static void
on_hup(void *arg, int signo)
{
	(void)signo;
	pfk__orders_reload(arg);
}

static void
on_usr1(void *arg, int signo)
{
	(void)signo;
	pfk__orders_reopen(arg);
}

static void
on_usr2(void *arg, int signo)
{
	(void)signo;
	pfk__upgrade_begin(arg);
}

static void
on_count(void *arg, int signo)
{
	struct pfk__master *m = arg;
	int workers = m->workers + (signo == SIGTTIN ? 1 : -1);

	if (m->started && workers >= 1 && workers <= PFK_WORKERS_MAX)
		pfk__orders_workers(m, workers);
}

static void
on_child(void *arg, int signo)
{
	(void)signo;
	pfk__children_reap(arg);
	pfk__master_wake(arg);
}

int
pfk__orders_by_signal(struct pfk__master *m)
{
	static const struct {
		int signo;
		void (*cb)(void *arg, int signo);
	} table[] = {{SIGTERM, on_stop_signal}, {SIGINT, on_stop_signal},
	    {SIGQUIT, on_stop_signal}, {SIGHUP, on_hup}, {SIGUSR1, on_usr1},
	    {SIGUSR2, on_usr2}, {SIGTTIN, on_count}, {SIGTTOU, on_count},
	    {SIGCHLD, on_child}};

	sigset_t none;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (pfk_signal_add(m->loop, table[i].signo, table[i].cb, m) ==
		    NULL)
			return -1;
	}
	/* The parent may have blocked some. */
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL);
}
