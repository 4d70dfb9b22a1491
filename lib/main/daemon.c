/*
 * daemon.c: detaching, and the commands to a running master.
 *
 * Layer: main.
 */
#include "main/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "main/pidfile.h"

#define CLOSED_MS 5000

/*
 * The exit status.  A child that has closed the pipe without a byte ends within a
 * moment; one that goes on could not write, and serves.
 */
static int
status_of(pid_t pid)
{
	int status;

	for (int ms = 0; ms < CLOSED_MS; ms++) {
		pid_t ended = waitpid(pid, &status, WNOHANG);

		if (ended == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status)
						 : EX_SOFTWARE;
		if (ended == -1 && errno != EINTR)
			return EX_OSERR;
		poll(NULL, 0, 1);
	}
	return EX_OK;
}

static int
wait_for_child(int in, pid_t pid)
{
	char byte;
	ssize_t n;

	do {
		n = read(in, &byte, 1);
	} while (n == -1 && errno == EINTR);
	if (n == 1)
		return EX_OK;
	if (n == 0)
		return status_of(pid);
	pfk_complain("cannot wait for the service to be ready: %s; stopping it",
	    strerror(errno));
	kill(pid, SIGTERM);
	while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
		continue;
	return EX_OSERR;
}

int
pfk__daemon_detach(void)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1)
		return -1;
	/* Ignored, as some parents leave it, it would hide the exit status. */
	signal(SIGCHLD, SIG_DFL);
	pid = fork();
	if (pid == -1)
		return -1;
	if (pid > 0) {
		close(fds[1]);
		/* The child's own exit handlers run in the child. */
		_exit(wait_for_child(fds[0], pid));
	}
	close(fds[0]);
	/* As nginx, it stays in its folder: file names keep their meaning. */
	setsid();
	/* Workers live longer than a start that fails. */
	pfk_keep_fd(fds[1], false);
	pfk__daemon_close_stdio(STDOUT_FILENO);
	return fds[1];
}

void
pfk__daemon_close_stdio(int last)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = STDIN_FILENO; null != -1 && fd <= last; fd++)
		dup2(null, fd);
	if (null > last)
		close(null);
}

void
pfk__daemon_ready(int fd)
{
	pfk__daemon_close_stdio(STDERR_FILENO);
	/* A parent that has gone needs no answer. */
	if (write(fd, "", 1) == -1)
		pfk_log(PFK_DEBUG,
		    "the process that waited for the start has ended");
	close(fd);
}

static int
signal_of(const char *command)
{
	static const struct {
		const char *command;
		int signo;
	} table[] = {{"stop", SIGTERM}, {"quit", SIGQUIT}, {"reload", SIGHUP},
	    {"reopen", SIGUSR1}, {"upgrade", SIGUSR2}};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (strcmp(command, table[i].command) == 0)
			return table[i].signo;
	}
	return -1;
}

int
pfk__daemon_signal(const char *pid_file, const char *command, char *err)
{
	int signo = signal_of(command);

	if (signo != -1)
		return pfk__pidfile_signal(pid_file, signo, err);
	snprintf(err, PFK__PIDFILE_ERROR,
	    "unknown command '%.100s': it is stop, quit, reload, reopen or upgrade",
	    command);
	return EX_USAGE;
}
