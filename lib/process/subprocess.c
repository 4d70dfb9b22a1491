/*
 * subprocess.c: start other programs, and learn of the end of processes.
 *
 * Layer: process.  A pidfd in the loop tells of the end, so that SIGCHLD stays
 * the program's; posix_spawn(3) runs no handler of pthread_atfork(3) and leaves
 * nothing of the worker to the child.
 */
#include "process/subprocess.h"

#include <errno.h>
#include <fcntl.h>
#include <prefork.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/misuse.h"
#include "event/loop.h"
#include "sandbox/sandbox.h"

struct pfk_subprocess {
	LIST_ENTRY(pfk_subprocess) link;
	struct pfk_io io; /* the pidfd */
	pid_t pid;
	bool reaped;
	int status; /* if reaped */
	void (*ended)(void *arg, int status);
	void *arg;
};

static LIST_HEAD(, pfk_subprocess) all = LIST_HEAD_INITIALIZER(all);

void
pfk__subprocess_reaped(pid_t pid, int status)
{
	struct pfk_subprocess *s;

	LIST_FOREACH(s, &all, link) {
		if (s->pid != pid || s->reaped)
			continue;
		s->reaped = true;
		s->status = status;
	}
}

void
pfk_subprocess_cancel(struct pfk_subprocess **sp)
{
	struct pfk_subprocess *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	LIST_REMOVE(s, link);
	pfk__io_stop(&s->io);
	close(s->io.fd);
	free(s);
}

static void
on_end(void *arg, unsigned ready)
{
	struct pfk_subprocess *s = arg;
	void (*ended)(void *, int) = s->ended;
	int status = -1;

	(void)ready;
	if (!s->reaped && waitpid(s->pid, &status, WNOHANG) == s->pid)
		pfk__subprocess_reaped(s->pid, status);
	if (s->reaped)
		status = s->status;
	arg = s->arg;
	pfk_subprocess_cancel(&s);
	ended(arg, status);
}

struct pfk_subprocess *
pfk_subprocess_watch(struct pfk_loop *l, pid_t pid,
    void (*ended)(void *arg, int status), void *arg)
{
	struct pfk_subprocess *s;
	int fd, saved_errno;

	if (pfk__need_callback("pfk_subprocess_watch", ended != NULL) == -1)
		return NULL;
	if (pid < 1) {
		pfk__misuse(EINVAL, "pfk_subprocess_watch: %d is no process",
		    (int)pid);
		return NULL;
	}
	if (pfk__sandbox_denies("pidfd_open")) {
		errno = EPERM;
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->pid = pid;
	s->ended = ended;
	s->arg = arg;
	/* With FD_CLOEXEC. */
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd != -1 &&
	    pfk__io_start(l, &s->io, fd, PFK_READ, on_end, s) == 0) {
		s->io.once = true;
		LIST_INSERT_HEAD(&all, s, link);
		return s;
	}
	saved_errno = errno;
	if (fd != -1)
		close(fd);
	free(s);
	errno = saved_errno;
	return NULL;
}

/*
 * The descriptors 0 to 2 of the child, by copies above these, because a number
 * may be needed after it has been replaced.  0 or an errno.
 */
static int
place(posix_spawn_file_actions_t *actions, const int *fds, int *copies)
{
	int rc = 0;

	for (int i = 0; i < 3 && rc == 0; i++) {
		if (fds == NULL || fds[i] == -1)
			continue;
		copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		rc = copies[i] == -1
		    ? errno
		    : posix_spawn_file_actions_adddup2(actions, copies[i], i);
	}
	return rc == 0 ? posix_spawn_file_actions_addclosefrom_np(actions,
			     STDERR_FILENO + 1)
		       : rc;
}

/* 0 or an errno.  All signals are at their default, and none is blocked. */
static int
spawn(pid_t *pid, char *const *argv, const int *fds)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int copies[3] = {-1, -1, -1}, rc;
	sigset_t set;

	rc = posix_spawn_file_actions_init(&actions);
	if (rc != 0)
		return rc;
	rc = posix_spawnattr_init(&attr);
	if (rc != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return rc;
	}
	sigfillset(&set);
	posix_spawnattr_setsigdefault(&attr, &set);
	sigemptyset(&set);
	posix_spawnattr_setsigmask(&attr, &set);
	posix_spawnattr_setflags(&attr,
	    POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	rc = place(&actions, fds, copies);
	if (rc == 0)
		rc = posix_spawnp(pid, argv[0], &actions, &attr, argv, environ);
	for (int i = 0; i < 3; i++) {
		if (copies[i] != -1)
			close(copies[i]);
	}
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

static int
check_descriptors(const int *fds)
{
	for (int i = 0; fds != NULL && i < 3; i++) {
		if (fds[i] != -1 &&
		    pfk__need_open("pfk_subprocess_start", fds[i]) == -1)
			return -1;
	}
	return 0;
}

struct pfk_subprocess *
pfk_subprocess_start(struct pfk_loop *l, char *const *argv, const int *fds,
    void (*ended)(void *arg, int status), void *arg)
{
	struct pfk_subprocess *s;
	int error, saved_errno;
	pid_t pid = -1;

	if (pfk__need_callback("pfk_subprocess_start", ended != NULL) == -1)
		return NULL;
	/* The C library would crash in the child. */
	if (argv == NULL || argv[0] == NULL) {
		pfk__misuse(EINVAL, "pfk_subprocess_start: no program");
		return NULL;
	}
	if (check_descriptors(fds) == -1)
		return NULL;
	if (pfk__sandbox_denies("execve")) {
		errno = EPERM;
		return NULL;
	}
	error = spawn(&pid, argv, fds);
	if (error != 0) {
		errno = error;
		return NULL;
	}
	s = pfk_subprocess_watch(l, pid, ended, arg);
	if (s != NULL)
		return s;
	/* Nobody would wait for it. */
	saved_errno = errno;
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
		continue;
	errno = saved_errno;
	return NULL;
}

pid_t
pfk_subprocess_pid(const struct pfk_subprocess *s)
{
	return s->pid;
}

int
pfk_subprocess_signal(const struct pfk_subprocess *s, int signo)
{
	if (pfk__sandbox_denies("pidfd_send_signal")) {
		errno = EPERM;
		return -1;
	}
	return (int)syscall(SYS_pidfd_send_signal, s->io.fd, signo, NULL, 0);
}
