/*
 * safe_open.c: walk a path directory by directory.
 *
 * Layer: base.  A root process that opens its log anew in a directory of the
 * workers' user would otherwise open any file that a symbolic link names
 * (CVE-2016-1247).
 */
#include "base/safe_open.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether users other than root and this one may change the directory. */
static bool
is_foreign(int dir)
{
	struct stat st;

	if (fstat(dir, &st) == -1)
		return true;
	return (st.st_uid != 0 && st.st_uid != geteuid()) ||
	    (st.st_mode & (S_IWGRP | S_IWOTH)) != 0;
}

/* The directory `name` in dir, which is closed. */
static int
step(int dir, const char *name)
{
	int flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
	int next = openat(dir, name,
	    flags | (is_foreign(dir) ? O_NOFOLLOW : 0));
	int saved = errno;

	close(dir);
	errno = saved;
	return next;
}

int
pfk__safe_open(const char *path, int flags, mode_t mode)
{
	char copy[PATH_MAX], *rest = copy, *slash;
	const char *name;
	int dir, fd, saved;

	if (strlcpy(copy, path, sizeof(copy)) >= sizeof(copy)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	dir = open(copy[0] == '/' ? "/" : ".",
	    O_PATH | O_DIRECTORY | O_CLOEXEC);
	rest += strspn(rest, "/");
	while (dir != -1 && (slash = strchr(rest, '/')) != NULL) {
		name = rest;
		*slash = '\0';
		rest = slash + 1 + strspn(slash + 1, "/");
		dir = step(dir, name);
	}
	if (dir == -1)
		return -1;
	/* A path that ends in a slash is the directory, but "" is nothing. */
	name = *rest == '\0' && copy[0] != '\0' ? "." : rest;
	fd = openat(dir, name, flags | O_NOFOLLOW, mode);
	saved = errno;
	close(dir);
	errno = saved;
	return fd;
}

int
pfk__safe_chmod(const char *path, mode_t mode)
{
	int fd = pfk__safe_open(path, O_PATH | O_CLOEXEC, 0), rc = -1, saved;
	char name[40];
	struct stat st;

	if (fd == -1)
		return -1;
	/* fchmod(2) takes no such descriptor. */
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	if (fstat(fd, &st) == 0) {
		errno = EPERM;
		if (S_ISSOCK(st.st_mode) && st.st_uid == geteuid() &&
		    st.st_nlink == 1)
			rc = chmod(access(name, F_OK) == 0 ? name : path, mode);
	}
	saved = errno;
	close(fd);
	errno = saved;
	return rc;
}
