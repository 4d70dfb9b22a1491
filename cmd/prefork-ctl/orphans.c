/*
 * orphans.c: the workers of a service whose master has died.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"

#define ORPHANS_MAX 1024

/*
 * "orphan since 16:45:10 until 16:46:10", of the process's title; "" where it is
 * none.
 */
static const char *
title_of(pid_t pid, char *text, size_t size)
{
	char path[40];
	ssize_t n;
	char *at, *end;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd == -1 ? -1 : read(fd, text, size - 1);
	if (fd != -1)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	at = strstr(text, "(orphan");
	end = at != NULL ? strchr(at, ')') : NULL;
	if (end == NULL)
		return "";
	*end = '\0';
	return at + 1;
}

static bool
is_orphan(pid_t pid)
{
	char text[256];

	return *title_of(pid, text, sizeof(text)) != '\0';
}

static int
list_them(const struct pfk_orphan *list, int n)
{
	char text[256];

	for (int i = 0; i < n; i++)
		printf("worker %d (%d) serves on: %s\n", list[i].slot,
		    (int)list[i].pid,
		    title_of(list[i].pid, text, sizeof(text)));
	return fflush(stdout) == 0 && !ferror(stdout) ? EX_OK : EX_IOERR;
}

/* Returns its pidfd, or -1 with errno. */
static int
signal_one(const struct ctl *c, const struct pfk_orphan *o)
{
	int fd = pidfd_open(o->pid, 0);

	/* Anybody may connect and say that he is one. */
	if (fd == -1 || !is_orphan(o->pid)) {
		errno = ESRCH;
	} else if (pidfd_send_signal(fd, c->now ? SIGINT : SIGTERM, NULL, 0) ==
	    0) {
		return fd;
	}
	if (fd != -1)
		close(fd);
	return -1;
}

/* Wait until all have ended; how many have not when the time is over. */
static int
await_end(struct pollfd *fds, int n, uint64_t timeout_ns)
{
	struct timespec begun, now;
	int64_t left_ms;
	int left = 0;

	clock_gettime(CLOCK_MONOTONIC, &begun);
	for (int i = 0; i < n; i++) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		left_ms = (int64_t)(timeout_ns / 1000000) -
		    (now.tv_sec - begun.tv_sec) * 1000 -
		    (now.tv_nsec - begun.tv_nsec) / 1000000;
		left += poll(&fds[i], 1, left_ms > 0 ? (int)left_ms : 0) != 1;
		close(fds[i].fd);
	}
	return left;
}

static int
end_them(const struct ctl *c, const struct pfk_orphan *list, int n)
{
	struct pollfd fds[ORPHANS_MAX];
	int ended = 0, left;

	for (int i = 0; i < n; i++) {
		int fd = signal_one(c, &list[i]);

		if (fd == -1 && errno != ESRCH) {
			pfk_complain("cannot end worker %d (%d): %s",
			    list[i].slot, (int)list[i].pid, strerror(errno));
			return EX_NOPERM;
		}
		if (fd != -1)
			fds[ended++] = (struct pollfd){.fd = fd,
			    .events = POLLIN};
	}
	left = await_end(fds, ended, c->timeout_ns);
	if (left > 0) {
		pfk_complain("%d of %d workers %s not ended within %.9g s; "
			     "--now ends them without waiting for clients",
		    left, n, left == 1 ? "has" : "have",
		    (double)c->timeout_ns / 1e9);
		return EX_TEMPFAIL;
	}
	printf("ended %d worker%s of a master that had died\n", ended,
	    ended == 1 ? "" : "s");
	return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

int
orphans_obey(const struct ctl *c, const char *path, char *err)
{
	bool stop = strcmp(c->words[0], "stop") == 0;
	struct pfk_orphan *list = calloc(ORPHANS_MAX, sizeof(*list));
	char why[PFK_ERROR_SIZE];
	int n, status = EX_UNAVAILABLE;

	if (list == NULL)
		return EX_OSERR;
	n = pfk_orphans(path, list, ORPHANS_MAX, why);
	if (n > 0 && stop) {
		err[0] = '\0';
		status = end_them(c, list, n);
	} else if (n > 0) {
		list_them(list, n);
		snprintf(err, PFK_ERROR_SIZE,
		    "the master of %s has died; start it again, and it takes "
		    "these workers over, or end them by 'prefork-ctl stop'",
		    path);
	}
	free(list);
	return status;
}
