/*
 * exporter.c: run prefork-exporter(8) for this service, again if it dies.
 *
 * Layer: process.  The exporter asks by the control socket's protocol, but needs no
 * right to connect to that socket: it makes a pair of sockets for each question, and
 * sends one of them through the channel that it has inherited.
 */
#include "process/exporter.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "base/program.h"
#include "base/received.h"
#include "base/signals.h"
#include "base/why.h"
#include "logger/logger.h"
#include "process/control.h"
#include "process/master.h"

#define PROGRAM "prefork-exporter"
/* The descriptor of the channel there. */
#define CHANNEL 3
/* From one death to the next start; a long life makes it short again. */
#define DELAY_MIN_NS PFK_SECOND_NS
#define DELAY_MAX_NS (60 * PFK_SECOND_NS)

/* the child */

static int
drop(const struct pfk_master_config *config)
{
	uid_t uid = config->worker_user;
	gid_t gid = config->worker_group;

	if (uid == 0 || geteuid() != 0)
		return 0;
	return setgroups(0, NULL) == 0 && setresgid(gid, gid, gid) == 0 &&
		setresuid(uid, uid, uid) == 0
	    ? 0
	    : -1;
}

/* Beside this program's file, or in PATH. */
static void
execute(char *const *argv)
{
	char path[4096];
	const char *own = pfk__program_path();
	int dir = own != NULL ? (int)(strrchr(own, '/') - own) : -1;

	if (dir >= 0 &&
	    snprintf(path, sizeof(path), "%.*s/" PROGRAM, dir, own) <
		(int)sizeof(path))
		execv(path, argv);
	if (dir < 0 || errno == ENOENT)
		execvp(PROGRAM, argv);
}

static void __attribute__((noreturn))
be_exporter(struct pfk__master *m, int channel, int log)
{
	char quiet[] = "--quiet";
	char *argv[] = {(char[]){PROGRAM}, (char[]){"--channel"}, (char[]){"3"},
	    (char[]){"--listen"}, m->exporter.address, NULL, NULL};

	if (pfk__log_level() <= PFK_WARNING)
		argv[5] = quiet;
	pfk__logger_join(m->logger, log);
	unsetenv("NOTIFY_SOCKET");
	if (channel == CHANNEL)
		fcntl(CHANNEL, F_SETFD, 0);
	else
		dup2(channel, CHANNEL);
	pfk__signals_restore();
	pfk__signals_allow();
	if (drop(&m->config) == -1)
		dprintf(STDERR_FILENO,
		    "cannot change to the workers' user: %s\n",
		    strerror(errno));
	else
		execute(argv);
	dprintf(STDERR_FILENO,
	    "cannot run " PROGRAM ": %s; install it beside "
	    "this program, or leave --exporter out\n",
	    strerror(errno));
	_exit(EX_UNAVAILABLE);
}

/* the channel */

static void
hang_up(struct pfk__exporter *e)
{
	pfk_io_cancel(&e->io);
	if (e->fd != -1)
		pfk__close_emptied(e->fd);
	e->fd = -1;
}

static void
on_question(void *arg, unsigned ready)
{
	struct pfk__master *m = arg;
	struct pfk__parcel p;
	char byte;
	ssize_t n = pfk__receive(m->exporter.fd, &byte, 1, &p);

	(void)ready;
	if (n == 1 && p.fds[0] != -1) {
		pfk__control_bring(m, p.fds[0]);
		p.fds[0] = -1;
	}
	pfk__parcel_close(&p);
	if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR))
		hang_up(&m->exporter);
}

/* start and end */

static void
on_again(void *arg)
{
	pfk__master_wake(arg);
}

static void
wait_before_next(struct pfk__master *m)
{
	struct pfk__exporter *e = &m->exporter;

	if (e->started_ns + DELAY_MAX_NS < pfk_loop_now(m->loop))
		e->delay_ns = 0;
	e->delay_ns = e->delay_ns == 0 ? DELAY_MIN_NS : 2 * e->delay_ns;
	if (e->delay_ns > DELAY_MAX_NS)
		e->delay_ns = DELAY_MAX_NS;
	pfk_timer_set(&e->again, m->loop, e->delay_ns, on_again, m);
}

/* 0, or -1 with errno, and nothing is left of it. */
static int
start(struct pfk__master *m)
{
	struct pfk__exporter *e = &m->exporter;
	sigset_t old;
	int fds[2], log;

	free(e->address);
	e->address = strdup(m->config.exporter);
	if (e->address == NULL || pfk__channel_pair(fds) == -1)
		return -1;
	e->io = pfk_io_add(m->loop, fds[0], PFK_READ, on_question, m);
	log = e->io != NULL ? pfk__logger_prepare(m->logger) : -1;
	if (log == -1)
		goto err1;
	pfk__signals_block(&old);
	e->pid = fork();
	if (e->pid == 0)
		be_exporter(m, fds[1], log);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (e->pid == -1)
		goto err2;
	close(fds[1]);
	e->fd = fds[0];
	pfk__logger_announce(m->logger, log, "exporter", e->pid);
	return 0;
err2:
	pfk__logger_cancel(m->logger, log);
	e->pid = 0;
err1:
	pfk_io_cancel(&e->io);
	close(fds[0]);
	close(fds[1]);
	return -1;
}

void
pfk__exporter_init(struct pfk__master *m)
{
	m->exporter.fd = -1;
}

void
pfk__exporter_maintain(struct pfk__master *m)
{
	struct pfk__exporter *e = &m->exporter;
	const char *wanted = m->config.exporter;

	if (!m->started || m->reload != PFK__RELOAD_SETTLED)
		return;
	if (e->address != NULL &&
	    (wanted == NULL || strcmp(wanted, e->address) != 0)) {
		hang_up(e);
		pfk_timer_cancel(&e->again);
		e->delay_ns = 0;
		e->unwanted = true;
	}
	if (wanted == NULL || e->pid != 0 || e->again != NULL)
		return;
	e->started_ns = pfk_loop_now(m->loop);
	e->unwanted = false;
	if (start(m) == 0) {
		pfk_log(PFK_INFO, "started the exporter (%d) on %s",
		    (int)e->pid, wanted);
		return;
	}
	pfk_log(PFK_WARNING, "cannot start the exporter: %s", pfk__why(errno));
	wait_before_next(m);
}

bool
pfk__exporter_reaped(struct pfk__master *m, pid_t pid, int status)
{
	struct pfk__exporter *e = &m->exporter;
	char how[64];

	if (pid != e->pid || pid == 0)
		return false;
	e->pid = 0;
	pfk__master_wake(m);
	hang_up(e);
	if (e->unwanted)
		return true;
	wait_before_next(m);
	pfk__describe_status(status, how, sizeof(how));
	pfk_log(PFK_WARNING,
	    "the exporter (%d) %s; starting it again in %llu s", (int)pid, how,
	    (unsigned long long)(e->delay_ns / PFK_SECOND_NS));
	return true;
}

void
pfk__exporter_end(struct pfk__master *m)
{
	hang_up(&m->exporter);
	pfk_timer_cancel(&m->exporter.again);
	free(m->exporter.address);
	m->exporter.address = NULL;
}
