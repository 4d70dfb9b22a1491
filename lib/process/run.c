/*
 * run.c: a service from its start to its end.
 *
 * Layer: process.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "base/calls.h"
#include "base/kept.h"
#include "base/log.h"
#include "base/program.h"
#include "base/signals.h"
#include "base/title.h"
#include "base/why.h"
#include "event/io.h"
#include "logger/logger.h"
#include "process/control.h"
#include "process/exit.h"
#include "process/history.h"
#include "process/master.h"
#include "process/orders.h"
#include "process/takeover.h"
#include "process/use.h"
#include "process/worker.h"

/* For the workers too: no set-user-id program, all descriptors allowed. */
static void
harden(void)
{
	struct rlimit r;

	/* The worker of a dead keeper becomes our child. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == -1)
		pfk_warn("cannot become the reaper of the workers");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		pfk_warn("cannot set no_new_privs");
	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &r) == -1)
			pfk_warn("cannot raise the limit of descriptors");
	}
}

static void
run(struct pfk__master *m)
{
	m->loop->check = pfk__master_check;
	m->loop->check_arg = m;
	pfk__watch_start(m);
	pfk__deaths_watch(&m->deaths);
	pfk__notify_open(m);
	pfk__store_open(m);
	pfk__takeover_await(m);
	pfk__upgrade_go(m);
	pfk__master_maintain(m);
	/* Nothing could even be forked. */
	if (m->stop != PFK__STOP_NONE && LIST_EMPTY(&m->children))
		return;
	if (pfk_loop_run(m->loop) == -1) {
		pfk_log(PFK_ERROR,
		    "cannot wait for events: %s; the service stops",
		    strerror(errno));
		pfk__children_signal(m, SIGTERM);
		m->status = EX_OSERR;
	}
}

static void
cancel_all(struct pfk__master *m)
{
	pfk_timer_cancel(&m->tick);
	pfk_timer_cancel(&m->late);
	pfk_timer_cancel(&m->kill);
	pfk_timer_cancel(&m->sample);
	pfk_timer_cancel(&m->surplus);
	pfk_timer_cancel(&m->heirs);
	pfk_timer_cancel(&m->watch);
	pfk_timer_cancel(&m->await);
	pfk__store_close(m);
	pfk__notify_close(m);
	pfk__handshakes_free(&m->handshakes);
	pfk__soon_cancel(m->loop, &m->maintain);
}

static void
set_up(struct pfk__master *m, const struct pfk_master_config *config,
    const struct pfk_hooks *hooks, void *arg)
{
	uint32_t first;

	m->config = *config;
	pfk__use_bound(&m->config);
	m->hooks = hooks;
	m->arg = arg;
	m->workers = config->workers;
	LIST_INIT(&m->children);
	/*
	 * The first call maps memory, and ends the process where none is free.  It must not
	 * be at a worker's death.
	 */
	arc4random_buf(&first, sizeof(first));
	pfk__exporter_init(m);
	pfk__heartbeat_prepare();
	/* Without it, an upgrade is refused. */
	if (pfk__program_note() == -1)
		pfk_log(PFK_DEBUG,
		    "cannot note the program, so that an upgrade is refused: "
		    "%s",
		    strerror(errno));
}

/* -1: a sandbox around this process denies a call that the service needs. */
static int
check_calls(const struct pfk__master *m)
{
	const char *denied = pfk__calls_denied();

	if (denied != NULL) {
		pfk_warn("cannot start: a sandbox denies %s(2)", denied);
		return -1;
	}
	if (!m->config.no_keeper && pfk__signals_may_wait() == -1)
		pfk_warn("connections end with their worker, because its "
			 "keeper cannot wait: sigtimedwait(2)");
	return 0;
}

/* EX_OK, or the status to exit with, after a complaint. */
static int
start(struct pfk__master *m)
{
	const char *cause, *step;
	int status;

	pfk__signals_ignore_strays();
	harden();
	pfk_log_set_process("master");
	pfk__title_set("master");
	status = pfk__check_sandbox(&m->config);
	if (status != EX_OK)
		return status;
	if (check_calls(m) == -1)
		return EX_OSERR;
	pfk__confine_master(&m->config);
	m->loop = pfk_loop_new(NULL);
	pfk__use_loop(m->loop);
	pfk__custody_init(&m->custody, m->loop, pfk__adopt_queued, m);
	if (m->loop == NULL) {
		pfk_warn("cannot start: cannot create the event loop");
	} else if (pfk__orders_by_signal(m) == -1) {
		pfk_warn("cannot start: cannot receive signals");
	} else if (pfk__io_arm_first(m->loop, &cause) == -1) {
		pfk_log(PFK_ERROR,
		    "cannot start: cannot watch the pipe of the signal "
		    "handlers: %s",
		    cause);
	} else if ((m->logger = pfk__logger_start(m->loop, &step)) == NULL) {
		pfk_complain("cannot start the log process: %s(2): %s", step,
		    pfk__why(errno));
	} else {
		return pfk__control_open(m);
	}
	return EX_OSERR;
}

/* No child is left, and no signal ends this any more. */
static void
tear_down(struct pfk__master *m)
{
	pfk__custody_clear(&m->custody);
	pfk__spawn_end(m);
	pfk__exporter_end(m);
	pfk__control_close(m);
	cancel_all(m);
	pfk__logger_stop(&m->logger);
	pfk__use_loop(NULL);
	pfk__loop_free(m->loop);
	if (m->hooks->on_exit != NULL)
		m->hooks->on_exit(m->status, m->arg);
	pfk__control_end(m);
}

int
pfk_master_run(const struct pfk_master_config *config,
    const struct pfk_hooks *hooks, void *arg)
{
	struct pfk__master *m;
	sigset_t old;
	int status;

	if (pfk__use_begin(config, hooks) == -1)
		return EX_SOFTWARE;
	m = calloc(1, sizeof(*m));
	if (m == NULL || pfk__upgrade_enter(m) == -1 ||
	    pfk__store_enter(m) == -1 || pfk__kept_open(pfk__log_fd()) == -1 ||
	    pfk__exit_prepare() == -1) {
		pfk_complain("cannot start: %s", strerror(errno));
		free(m);
		pfk__use_end();
		return EX_OSERR;
	}
	set_up(m, config, hooks, arg);
	pfk__signals_block(&old);
	m->status = start(m);
	if (m->status == EX_OK)
		run(m);
	if (m->status != EX_OK)
		pfk__upgrade_back(m, "it cannot start");
	/* The handlers go with the loop, and on_exit has still to tidy up. */
	pfk__signals_block(NULL);
	tear_down(m);
	pfk__signals_drop(&old);
	pfk__history_free(m);
	pfk__deaths_free(&m->deaths);
	status = m->status;
	free(m);
	pfk__use_end();
	return status;
}
