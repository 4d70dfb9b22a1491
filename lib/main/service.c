/*
 * service.c: run the program's master: log, pid file, terminal, and its hooks.
 *
 * Layer: main.
 */
#include <errno.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fds.h"
#include "main/daemon.h"
#include "main/pidfile.h"
#include "main/program.h"

void
pfk__service_log_level(const struct pfk__settings *s)
{
	pfk_log_set_level(s->verbose ? PFK_DEBUG
		: s->quiet           ? PFK_WARNING
				     : PFK_INFO);
}

struct pfk_master_config
pfk__service_config(const struct pfk__settings *s)
{
	return (struct pfk_master_config){.workers = pfk__settings_workers(s),
	    .shutdown_ns = s->shutdown_ns,
	    .drain_ns = s->drain_ns,
	    .stop_delay_ns = s->stop_delay_ns,
	    .hang_ns = s->hang_ns,
	    .orphan_ns = s->orphan_ns,
	    .poller = s->poller,
	    .no_keeper = !s->keeper,
	    .no_coalesce = !s->coalesce,
	    .sandbox = s->sandbox,
	    .control = s->control,
	    .name = s->name,
	    .address = &s->setup.endpoints[0].listen,
	    .control_group = s->control_gid,
	    .worker_user = s->user != NULL ? s->uid : 0,
	    .worker_group = s->gid,
	    .exporter = s->exporter,
	    .version = s->program->version,
	    .config_file = s->file};
}

/* Room for the sources of all connections, those of IPv6 three times. */
#define SOURCE_BYTES ((size_t)3 * 256)
#define SOURCES_MIN ((size_t)1 << 20)
#define SOURCES_MAX ((size_t)16 << 20)

/* So that the workers count together; made once, and when it is first needed. */
int
pfk__service_count_sources(struct pfk__main *m)
{
	const struct pfk__settings *s = m->settings;
	size_t n = (size_t)s->max_connections * SOURCE_BYTES *
	    (size_t)pfk__settings_workers(s);

	if (m->sources != NULL || pfk__settings_per_source(s) == 0)
		return 0;
	if (n < SOURCES_MIN)
		n = SOURCES_MIN;
	m->sources = pfk_zone_open(NULL, n < SOURCES_MAX ? n : SOURCES_MAX);
	return m->sources != NULL ? 0 : -1;
}

/* hooks */

static int
on_ready(void *arg)
{
	struct pfk__main *m = arg;
	char err[PFK__PIDFILE_ERROR];
	int status = EX_OK;

	if (m->pid_file != NULL)
		status = pfk__pidfile_publish(m->pid_file, err);
	if (status != EX_OK) {
		pfk_complain("%s", err);
		return status;
	}
	if (m->detached != -1) {
		pfk__daemon_ready(m->detached);
		m->detached = -1;
	}
	return EX_OK;
}

static void
on_exit_master(int status, void *arg)
{
	struct pfk__main *m = arg;

	(void)status;
	if (m->pid_file != NULL)
		pfk__pidfile_end(m->pid_file);
	m->pid_file = NULL;
}

static const struct pfk_hooks hooks = {
    .worker_init = pfk__serve_init,
    .worker_exit = pfk__serve_exit,
    .worker_leaving = pfk__serve_leaving,
    .on_ready = on_ready,
    .prepare_reload = pfk__main_look_up,
    .on_reload = pfk__main_take,
    .reload_done = pfk__main_settled,
    .on_exit = on_exit_master,
};

/* start */

/* Why the log cannot be opened, and the cure where the error does not say. */
static void
explain_log(const char *target)
{
	const char *why = strerror(errno);

	if (strcmp(target, "syslog") == 0)
		pfk_complain("cannot log to syslog: /dev/log: %s; start a "
			     "syslog daemon, or log to a file by --log FILE",
		    why);
	else if (errno == ELOOP)
		pfk_complain("cannot open log %s: it is a symbolic link; name "
			     "the file itself",
		    target);
	else if (errno == EMLINK)
		pfk_complain("cannot open log %s: it has more than one hard "
			     "link; remove the other names of the file",
		    target);
	else if (errno == EPERM)
		pfk_complain("cannot open log %s: it belongs to another user; "
			     "give it to %s",
		    target, geteuid() == 0 ? "root" : "this user or root");
	else
		pfk_complain("cannot open log %s: %s", target, why);
}

static int
open_log(const struct pfk__settings *s)
{
	/* Detached, standard error ends. */
	const char *target = s->daemon && strcmp(s->log, "-") == 0 ? "syslog"
								   : s->log;

	pfk_log_set_format(s->log_format);
	pfk_log_set_time(s->log_time);
	if (pfk_log_open(target) == 0)
		return EX_OK;
	explain_log(target);
	return EX_CANTCREAT;
}

static int
lock_pid_file(struct pfk__main *m)
{
	char err[PFK__PIDFILE_ERROR];
	int status = EX_OK;

	if (m->settings->pid_file == NULL)
		return EX_OK;
	m->pid_file = pfk__pidfile_lock(m->settings->pid_file, &status, err);
	if (m->pid_file != NULL)
		return EX_OK;
	pfk_complain("%s", err);
	return status;
}

static int
detach(struct pfk__main *m)
{
	/* One that replaces a daemon is one. */
	if (!m->settings->daemon || pfk_upgrading())
		return EX_OK;
	m->detached = pfk__daemon_detach();
	if (m->detached != -1)
		return EX_OK;
	pfk_complain("cannot detach: %s", strerror(errno));
	return EX_OSERR;
}

int
pfk__service_run(struct pfk__main *m)
{
	struct pfk_master_config mc = pfk__service_config(m->settings);
	int status;

	pfk__service_log_level(m->settings);
	status = open_log(m->settings);
	pfk__close_inherited();
	if (status != EX_OK || (status = detach(m)) != EX_OK)
		return status;
	if (pfk__service_count_sources(m) == -1) {
		pfk_complain("cannot count the sources of all workers: %s",
		    strerror(errno));
		return EX_OSERR;
	}
	pfk_signals_hold();
	status = lock_pid_file(m);
	if (status != EX_OK)
		return status;
	return pfk_master_run(&mc, &hooks, m);
}
