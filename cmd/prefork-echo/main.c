/*
 * main.c: prefork-echo, a pre-forked TCP and UDP echo server.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "daemon.h"
#include "echo.h"
#include "pidfile.h"
#include "program.h"

/* How long a start tries to look a host up. */
#define PATIENCE_S 10
#define RETRY_MS 500

static int
cannot_write(void)
{
	pfk_complain("cannot write: %s", strerror(errno));
	return EX_IOERR;
}

static int
usage(void)
{
	printf("usage: %s [-146DhqTtvV] [-b ADDR] [-c FILE] [-i SEC] "
	       "[-l TARGET]\n"
	       "           [-n N] [-P FILE] [-p PORT] [-s CMD] "
	       "[-u USER[:GROUP]] [-w N|auto]\n\n"
	       "Echo TCP and UDP (RFC 862) from pre-forked workers.  "
	       "Defaults in brackets.\n\n",
	    getprogname());
	if (fflush(stdout) != 0 ||
	    pfk_options_usage(config_options, STDOUT_FILENO) == -1)
		return cannot_write();
	printf("\nExample: %s -w 4 -p 8888\n", getprogname());
	return fflush(stdout) == 0 ? EX_OK : cannot_write();
}

void
program_set_log_level(const struct config *c)
{
	pfk_log_set_level(c->verbose ? PFK_DEBUG
		: c->quiet           ? PFK_WARNING
				     : PFK_INFO);
}

struct pfk_master_config
program_master_config(const struct config *c)
{
	return (struct pfk_master_config){.workers = config_workers(c),
	    .shutdown_ns = c->shutdown_ns,
	    .drain_ns = c->drain_ns,
	    .hang_ns = c->hang_ns,
	    .orphan_ns = c->orphan_ns,
	    .poller = c->poller,
	    .no_keeper = !c->keeper,
	    .control = c->control,
	    .name = c->name,
	    .address = &c->endpoints[0].listen,
	    .control_group = c->control_gid,
	    .worker_user = c->user != NULL ? c->uid : 0,
	    .version = PFK_VERSION,
	    .config_file = c->file};
}

/* hooks */

static int
worker_init(struct pfk_worker *w, void *arg)
{
	const struct program *p = arg;

	/*
	 * A daemon's worker writes to the log or to the master, not to a
	 * terminal.
	 */
	if (p->config->daemon)
		daemon_close_stdio(STDERR_FILENO);
	return echo_worker_init(w, p->config);
}

static void
worker_exit(struct pfk_worker *w, void *arg)
{
	(void)w;
	(void)arg;
	echo_worker_exit();
}

static int
on_ready(void *arg)
{
	struct program *p = arg;
	char err[PIDFILE_ERROR];
	int status = EX_OK;

	if (p->pid_file != NULL)
		status = pidfile_publish(p->pid_file, err);
	if (status != EX_OK) {
		pfk_complain("%s", err);
		return status;
	}
	if (p->detached != -1) {
		daemon_ready(p->detached);
		p->detached = -1;
	}
	return EX_OK;
}

static void
on_exit_master(int status, void *arg)
{
	struct program *p = arg;

	(void)status;
	if (p->pid_file != NULL)
		pidfile_end(p->pid_file);
	p->pid_file = NULL;
}

static const struct pfk_hooks hooks = {
    .worker_init = worker_init,
    .worker_exit = worker_exit,
    .on_ready = on_ready,
    .prepare_reload = reload_prepare,
    .on_reload = reload_try,
    .reload_done = reload_done,
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
open_log(const struct config *c)
{
	/* Detached, standard error ends. */
	const char *target = c->daemon && strcmp(c->log, "-") == 0 ? "syslog"
								   : c->log;

	pfk_log_set_format(c->log_format);
	pfk_log_set_time(c->log_time);
	if (pfk_log_open(target) == 0)
		return EX_OK;
	explain_log(target);
	return EX_CANTCREAT;
}

static int
lock_pid_file(struct program *p)
{
	char err[PIDFILE_ERROR];
	int status = EX_OK;

	if (p->config->pid_file == NULL)
		return EX_OK;
	p->pid_file = pidfile_lock(p->config->pid_file, &status, err);
	if (p->pid_file != NULL)
		return EX_OK;
	pfk_complain("%s", err);
	return status;
}

static int
detach(struct program *p)
{
	/* One that replaces a daemon is one. */
	if (!p->config->daemon || pfk_upgrading())
		return EX_OK;
	p->detached = daemon_detach();
	if (p->detached != -1)
		return EX_OK;
	pfk_complain("cannot detach: %s", strerror(errno));
	return EX_OSERR;
}

static int
run_service(struct program *p)
{
	struct pfk_master_config mc = program_master_config(p->config);
	int status;

	program_set_log_level(p->config);
	status = open_log(p->config);
	pfk_close_inherited();
	if (status != EX_OK || (status = detach(p)) != EX_OK)
		return status;
	pfk_signals_hold();
	status = lock_pid_file(p);
	if (status != EX_OK)
		return status;
	return pfk_master_run(&mc, &hooks, p);
}

/* The time of day at which the patience ends, for a message. */
static void
format_end(char *text, size_t size)
{
	time_t at = time(NULL) + PATIENCE_S;
	struct tm tm;

	text[0] = '\0';
	if (localtime_r(&at, &tm) != NULL)
		strftime(text, size, "%T", &tm);
}

/* At boot the name server may come up after us. */
static int
check_patiently(struct config *c, char *error, int *status)
{
	bool in_earnest = !c->test && !c->dump;
	struct timespec pause = {.tv_nsec = RETRY_MS * PFK_MSEC_NS}, now;
	char until[20];
	time_t end = 0;

	while (config_check(c, error, status) == -1) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (*status != EX_TEMPFAIL || !in_earnest ||
		    (end != 0 && now.tv_sec >= end))
			return -1;
		if (end == 0) {
			end = now.tv_sec + PATIENCE_S;
			format_end(until, sizeof(until));
			pfk_complain("%s; trying again until %s", error, until);
		}
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int
act(struct program *p)
{
	char error[PIDFILE_ERROR];
	int status;

	if (p->config->help)
		return usage();
	if (p->config->version) {
		printf("%s %s\n", getprogname(), PFK_VERSION);
		return fflush(stdout) == 0 ? EX_OK : cannot_write();
	}
	if (p->config->signal != NULL) {
		status = daemon_signal(p->config->pid_file, p->config->signal,
		    error);
		if (status != EX_OK)
			pfk_complain("%s", error);
		return status;
	}
	if (check_patiently(p->config, error, &status) == -1) {
		pfk_complain("%s", error);
		return status;
	}
	if (p->config->dump && config_dump(p->config) == -1)
		return cannot_write();
	if (p->config->dump || p->config->test)
		return EX_OK;
	return run_service(p);
}

int
main(int argc, char **argv)
{
	struct program p = {.argc = argc, .argv = argv, .detached = -1};
	char error[PFK_ERROR_SIZE];
	int status;

	pfk_ensure_stdio();
	pfk_signals_prepare();
	p.config = config_read(argc, argv, false, error, &status);
	if (p.config == NULL) {
		pfk_complain("%s", error);
		return status;
	}
	status = act(&p);
	/* A stop during a reload leaves two. */
	config_free(p.old);
	config_free(p.config);
	return status;
}
