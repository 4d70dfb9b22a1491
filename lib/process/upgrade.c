/*
 * upgrade.c: another program file takes the place of the running one.
 *
 * Layer: process.  execve(2).
 */
#include "process/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/inherit.h"
#include "base/parent.h"
#include "base/program.h"
#include "base/signals.h"
#include "process/control.h"
#include "process/history.h"
#include "process/master.h"
#include "process/orders.h"
#include "process/rundir.h"

#define TRIAL_NS (10 * PFK_SECOND_NS)
/* The surplus of a resize may wait for handshakes so long. */
#define QUIET_NS (90 * PFK_SECOND_NS)
/* Clients of the control socket get their answers in this. */
#define CLIENTS_NS PFK_SECOND_NS
/* Workers that leave hand their connections over in this, unless they cannot. */
#define LEAVING_NS (2 * PFK_SECOND_NS)
#define ARGUMENTS_BYTES 65536
#define ARGUMENTS_MAX 1024

/* the trial */

static void
refuse(struct pfk__master *m, const char *why)
{
	int workers = m->trial.workers;

	pfk_log(PFK_ERROR, "upgrade refused: %s; nothing has changed", why);
	pfk__upgrade_cancel(m);
	pfk__store_resume(m);
	if (workers > 0)
		pfk__orders_workers(m, workers);
	pfk__control_admit(m, true);
	pfk__control_upgrade_failed(m, why);
}

/* The test is an option: it comes before any operand. */
static void __attribute__((noreturn)) run_trial(pid_t master, int out)
{
	char *const *argv = pfk__program_argv();
	char **args, test[] = "-t";
	struct sigaction now;
	size_t n = 0;

	pfk__end_with(master);
	/* exec(2) resets caught signals, and no handler may run before it. */
	for (int signo = 1; signo < NSIG; signo++) {
		if (sigaction(signo, NULL, &now) == 0 &&
		    now.sa_handler != SIG_IGN)
			signal(signo, SIG_DFL);
	}
	pfk__signals_restore();
	pfk__signals_allow();
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	while (argv[n] != NULL)
		n++;
	args = calloc(n + 2, sizeof(*args));
	if (args != NULL) {
		args[0] = argv[0];
		args[1] = test;
		memcpy(args + 2, argv + 1, n * sizeof(*args));
		execv(pfk__program_path(), args);
	}
	dprintf(STDERR_FILENO, "cannot execute it: %s\n", strerror(errno));
	_exit(127);
}

static void
on_text(void *arg, unsigned ready)
{
	struct pfk__master *m = arg;
	struct pfk__trial *t = &m->trial;
	size_t room = sizeof(t->text) - 1 - t->len;
	char drop[256];
	ssize_t n = room > 0 ? read(t->fd, t->text + t->len, room)
			     : read(t->fd, drop, sizeof(drop));

	(void)ready;
	if (n > 0 && room > 0)
		t->len += (size_t)n;
	if (n == 0)
		pfk_io_want(t->io, 0);
}

static void
on_late(void *arg)
{
	refuse(arg, "the new program's test (-t) took longer than 10 s");
}

void
pfk__upgrade_cancel(struct pfk__master *m)
{
	struct pfk__trial *t = &m->trial;

	if (t->pid > 0)
		kill(t->pid, SIGKILL);
	pfk_timer_cancel(&t->late);
	pfk_timer_cancel(&t->clients);
	pfk_timer_cancel(&t->leaving);
	pfk_io_cancel(&t->io);
	if (t->fd > 0)
		close(t->fd);
	*t = (struct pfk__trial){0};
}

/* Whether each slot that is wanted, and no other, has its worker. */
static bool
all_serve(const struct pfk__master *m)
{
	/* The next master knows of no steering. */
	if (m->steered > 0 || m->letting_go_ns != 0)
		return false;
	for (int i = 0; i < m->places_top; i++) {
		const struct pfk__place *p = &m->places[i];

		if ((i < m->workers) != (p->serving != NULL) ||
		    p->booting != NULL ||
		    (i >= m->workers && pfk__custody_count(&m->custody, i) > 0))
			return false;
	}
	return true;
}

static const char *
obstacle(const struct pfk__master *m)
{
	const char *why;

	if (pfk__program_argv() == NULL)
		return "the program's file and arguments are not known";
	if (pfk__control_path(m) == NULL)
		return "it needs a control socket, by which the new program "
		       "finds the workers";
	if (m->config.no_keeper || m->config.orphan_ns == 0)
		return "it needs workers that outlive their master: keepers, "
		       "and a time to wait for the next one";
	why = pfk__rundir_closed(pfk__control_path(m), m->config.worker_user);
	if (why != NULL)
		return why;
	if (pfk__orders_stopping(m))
		return "the service is stopping";
	if (m->inherited.standin != -1)
		return "an upgrade is under way";
	return m->trial.pid != 0 || m->trial.good ? "an upgrade is under way"
						  : NULL;
}

const char *
pfk__upgrade_begin(struct pfk__master *m)
{
	struct pfk__trial *t = &m->trial;
	const char *why = obstacle(m);
	pid_t master = getpid();
	sigset_t old;
	int fds[2];

	if (why == NULL && pipe2(fds, O_CLOEXEC | O_NONBLOCK) == -1)
		why = strerror(errno);
	if (why != NULL) {
		pfk_log(PFK_ERROR, "upgrade refused: %s", why);
		return why;
	}
	pfk_log(PFK_INFO, "upgrading: testing %s", pfk__program_path());
	t->fd = fds[0];
	pfk__signals_block(&old);
	t->pid = fork();
	if (t->pid == 0)
		run_trial(master, fds[1]);
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(fds[1]);
	t->io = pfk_io_add(m->loop, t->fd, PFK_READ, on_text, m);
	if (t->pid == -1 || t->io == NULL) {
		why = strerror(errno);
		refuse(m, why);
		return why;
	}
	pfk_timer_set(&t->late, m->loop, TRIAL_NS, on_late, m);
	return NULL;
}

/* For a new master that wants to be the old one again. */
static void
leave_arguments(int fd)
{
	char *const *argv = pfk__program_argv();

	for (; *argv != NULL; argv++) {
		if (send(fd, *argv, strlen(*argv) + 1,
			MSG_DONTWAIT | MSG_NOSIGNAL) == -1)
			return;
	}
}

/* The trial was good: the new program takes this process. */
static void
execute(struct pfk__master *m)
{
	/* A refusal needs to know how many workers there were. */
	int workers = m->trial.workers;

	const struct pfk__instance *mine = &m->control->instance;
	struct pfk__inherited i = {.lock = mine->lock_fd,
	    .control = mine->fd,
	    .path = pfk__program_path()};
	pid_t self = getpid();
	sigset_t old;
	int sv[2];

	pfk__upgrade_cancel(m);
	m->trial.workers = workers;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == -1) {
		refuse(m, strerror(errno));
		return;
	}
	pfk_log(PFK_INFO, "upgrading: executing %s", pfk__program_path());
	leave_arguments(sv[1]);
	i.history = pfk__history_save(m);
	if (i.history == -1)
		pfk_warn("cannot save the counters, which begin anew");
	pfk__signals_block(&old);
	i.standin = sv[0];
	i.standin_pid = fork();
	if (i.standin_pid == 0) {
		close(sv[0]);
		pfk__standin_main(m, sv[1], &i, self);
	}
	if (i.standin_pid != -1 && pfk__inherit_announce(&i) == 0) {
		pfk__signals_restore();
		execv(pfk__program_path(), pfk__program_argv());
	}
	refuse(m, strerror(errno));
	/* It must not take the end of this for the new program's. */
	if (i.standin_pid > 0)
		kill(i.standin_pid, SIGKILL);
	pfk__inherit_forget();
	pfk__signals_ignore_strays();
	close(sv[0]);
	close(sv[1]);
	if (i.history != -1)
		close(i.history);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

static void
on_unquiet(void *arg)
{
	refuse(arg, "not all workers came to serve within 90 s");
}

/* Otherwise the stand-in would be the only one to have them, and close them. */
static void
staff_surplus(struct pfk__master *m)
{
	int n = m->places_top;

	pfk_log(PFK_INFO,
	    "upgrading: listeners of removed slots cannot be closed; starting "
	    "workers for them");
	while (n > m->workers && pfk__custody_count(&m->custody, n - 1) == 0)
		n--;
	m->trial.workers = m->workers;
	pfk__orders_workers(m, n);
}

static void
on_clients_late(void *arg)
{
	struct pfk__master *m = arg;

	m->trial.clients_late = true;
	pfk__master_wake(m);
}

/* Clients wait in the socket's queue for the new program, and others are answered. */
static bool
clients_wait(struct pfk__master *m)
{
	struct pfk__trial *t = &m->trial;

	pfk__control_admit(m, false);
	if (t->clients_late || !pfk__control_busy(m))
		return true;
	if (t->clients == NULL)
		pfk_timer_set(&t->clients, m->loop, CLIENTS_NS, on_clients_late,
		    m);
	return false;
}

static void
on_leaving_late(void *arg)
{
	struct pfk__master *m = arg;

	m->trial.leaving_late = true;
	pfk__master_wake(m);
}

/*
 * A worker that leaves may need another order to hand its last connections over, and
 * an older program, or one that comes back, would not take it over.
 */
static bool
all_left(struct pfk__master *m)
{
	struct pfk__trial *t = &m->trial;
	const struct pfk__child *c;
	int n = 0;

	LIST_FOREACH(c, &m->children, link)
		n += c->phase == PFK__PHASE_LEAVING;
	if (t->leaving_late || n == 0)
		return true;
	if (t->leaving == NULL) {
		pfk_log(PFK_INFO,
		    "upgrading: waiting up to %d s for %d worker%s to leave",
		    (int)(LEAVING_NS / PFK_SECOND_NS), n, n == 1 ? "" : "s");
		pfk_timer_set(&t->leaving, m->loop, LEAVING_NS, on_leaving_late,
		    m);
	}
	return false;
}

void
pfk__upgrade_maintain(struct pfk__master *m)
{
	if (!m->trial.good || !m->started || m->reload != PFK__RELOAD_SETTLED ||
	    m->reload_wanted)
		return;
	if (m->trial.workers == 0 && pfk__surplus_stays(m))
		staff_surplus(m);
	else if (!all_serve(m))
		pfk__control_admit(m, true);
	else if (all_left(m) && clients_wait(m) && pfk__store_empty(m))
		execute(m);
}

bool
pfk__upgrade_reaped(struct pfk__master *m, pid_t pid, int status)
{
	struct pfk__trial *t = &m->trial;
	char how[64], why[sizeof(t->text) + 100];

	if (t->pid == 0 || pid != t->pid)
		return false;
	t->pid = 0;
	on_text(m, PFK_READ);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		t->good = true;
		pfk_timer_set(&t->late, m->loop, QUIET_NS, on_unquiet, m);
		pfk__master_wake(m);
		return true;
	}
	pfk__describe_status(status, how, sizeof(how));
	t->text[t->len] = '\0';
	t->text[strcspn(t->text, "\n")] = '\0';
	snprintf(why, sizeof(why), "the new program's test (-t) %s%s%s", how,
	    t->text[0] != '\0' ? ": " : "", t->text);
	refuse(m, why);
	return true;
}

/* the new master */

static void
tell(struct pfk__master *m, char byte)
{
	int to = m->inherited.standin;

	if (to != -1 && send(to, &byte, 1, MSG_NOSIGNAL) != 1)
		pfk_warn("cannot send a message to the stand-in");
}

int
pfk__upgrade_enter(struct pfk__master *m)
{
	int fds[PFK__INHERITED_MAX];
	size_t n = pfk__inherited_fds(fds);
	struct pfk__inherited i;

	m->inherited.standin = m->inherited.history = -1;
	if (!pfk__inherited(&i))
		return 0;
	m->inherited = i;
	/* Executed as a descriptor, the file has lost its name. */
	prctl(PR_SET_NAME, getprogname(), 0, 0, 0);
	/* No worker may have the lock. */
	while (n > 0) {
		if (pfk_keep_fd(fds[--n], false) == -1)
			return -1;
	}
	return 0;
}

void
pfk__upgrade_go(struct pfk__master *m)
{
	if (m->inherited.history != -1)
		pfk__history_load(m, m->inherited.history);
	m->inherited.history = -1;
	pfk__inherit_forget();
	tell(m, PFK__STANDIN_GO);
}

void
pfk__upgrade_done(struct pfk__master *m)
{
	bool back = m->inherited.standin_pid == 0;

	if (m->inherited.standin == -1)
		return;
	tell(m,
	    back && m->stop != PFK__STOP_NONE && m->status != EX_OK
		? PFK__STANDIN_LOST
		: PFK__STANDIN_DONE);
	close(m->inherited.standin);
	m->inherited.standin = -1;
	if (m->stop == PFK__STOP_NONE && !back)
		pfk_log(PFK_INFO, "upgraded%s%s",
		    m->config.version != NULL ? ": version " : "",
		    m->config.version != NULL ? m->config.version : "");
}

/* The old program's, or our own, where it had too many. */
static char *const *
old_arguments(int from)
{
	static char text[ARGUMENTS_BYTES], *args[ARGUMENTS_MAX + 1];
	ssize_t len = recv(from, text, sizeof(text) - 1, MSG_DONTWAIT);
	size_t n = 0;

	for (char *at = text; at < text + len && n < ARGUMENTS_MAX;
	     at += strlen(at) + 1)
		args[n++] = at;
	return n > 0 ? args : pfk__program_argv();
}

void
pfk__upgrade_back(struct pfk__master *m, const char *why)
{
	struct pfk__inherited i = m->inherited;
	int exe, to = i.standin;
	char path[40];
	sigset_t old;

	if (to == -1 || i.standin_pid == 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)i.standin_pid);
	exe = open(path, O_RDONLY | O_CLOEXEC);
	if (exe == -1)
		return;
	i.standin_pid = 0;
	i.path = pfk__program_path();
	/* The old program does not know the names. */
	pfk__store_end(m);
	if (i.history == -1)
		i.history = pfk__history_save(m);
	pfk_log(PFK_ERROR,
	    "upgrade failed: %s; executing the old program again", why);
	pfk__signals_block(&old);
	pfk__control_forsake(m);
	tell(m, PFK__STANDIN_BACK);
	pfk__signals_restore();
	if (pfk__inherit_announce(&i) == 0)
		fexecve(exe, old_arguments(to), environ);
	pfk_warn("cannot execute the old program");
	pfk__inherit_forget();
	pfk__signals_ignore_strays();
	if (m->inherited.history == -1 && i.history != -1)
		close(i.history);
	close(exe);
	close(to);
	m->inherited.standin = -1;
	sigprocmask(SIG_SETMASK, &old, NULL);
}
