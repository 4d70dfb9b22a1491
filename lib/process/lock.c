/*
 * lock.c: the file that the master of a service has locked.
 *
 * Layer: process.
 */
#include "process/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "event/loop.h"

/* Of a program that has not written it: a day is far more than its default. */
#define ORPHAN_UNKNOWN_S 86400
#define TEXT_BYTES 128

/* As for pid files: a link or another user's file is not believed. */
int
pfk__lock_open(const char *path, int flag, const char **errstr)
{
	struct stat st;
	int fd = open(path,
	    flag | O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
	    0600);

	*errstr = NULL;
	if (fd == -1) {
		if (errno == ELOOP)
			*errstr = "it is a symbolic link";
		return -1;
	}
	if (fstat(fd, &st) == -1)
		goto err;
	errno = EPERM;
	if (!S_ISREG(st.st_mode))
		*errstr = "it is not a regular file";
	else if (st.st_uid != geteuid())
		*errstr = "it belongs to another user";
	else if (st.st_nlink > 1)
		*errstr = "it has a second name";
	else
		return fd;
err:
	close(fd);
	return -1;
}

bool
pfk__lock_is_current(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && lstat(path, &b) == 0 &&
	    a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* The number after the word in the next of the lines; false: none is there. */
static bool
read_number(char **lines, const char *word, uint64_t max, uint64_t *n)
{
	const char *line = *lines, *errstr;
	size_t len = strlen(word);
	char *end = strchr(line, '\n');

	if (end == NULL || strncmp(line, word, len) != 0)
		return false;
	*end = '\0';
	*n = (uint64_t)strtonum(line + len, 0, (long long)max, &errstr);
	*lines = end + 1;
	return errstr == NULL;
}

void
pfk__lock_read(int fd, struct pfk__lock_text *t)
{
	char text[TEXT_BYTES], *at = text;
	ssize_t len = pread(fd, text, sizeof(text) - 1, 0);
	uint64_t pid;

	*t = (struct pfk__lock_text){.orphan_s = ORPHAN_UNKNOWN_S};
	text[len > 0 ? len : 0] = '\0';
	if (!read_number(&at, "", INT32_MAX, &pid))
		return;
	t->pid = (pid_t)pid;
	read_number(&at, "orphans ", PFK__LOCK_ORPHAN_MAX_S, &t->orphan_s);
	t->dead = read_number(&at, "dead ", INT64_MAX, &t->dead_s);
}

/* The new text is not shorter, but for a mark, so that a full disk has room. */
int
pfk__lock_write(int fd, uint64_t orphan_ns)
{
	uint64_t s = (orphan_ns + PFK_SECOND_NS - 1) / PFK_SECOND_NS;
	struct pfk__lock_text was;
	char text[TEXT_BYTES];
	int len;

	pfk__lock_read(fd, &was);
	if (was.pid != 0 && was.orphan_s > s)
		s = was.orphan_s;
	if (was.pid == getpid() && was.orphan_s == s && !was.dead)
		return 0;
	len = snprintf(text, sizeof(text), "%d\norphans %" PRIu64 "\n",
	    (int)getpid(), s);
	if (pwrite(fd, text, (size_t)len, 0) != len)
		return -1;
	return ftruncate(fd, len);
}

int
pfk__lock_mark(int fd)
{
	struct pfk__lock_text t;
	char text[TEXT_BYTES];
	int len;

	pfk__lock_read(fd, &t);
	len = snprintf(text, sizeof(text),
	    "%d\norphans %" PRIu64 "\ndead %" PRIu64 "\n", (int)t.pid,
	    t.orphan_s, pfk__clock_now() / PFK_SECOND_NS);
	if (pwrite(fd, text, (size_t)len, 0) != len)
		return -1;
	return ftruncate(fd, len);
}
