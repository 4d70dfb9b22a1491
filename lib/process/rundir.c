/*
 * rundir.c: the directories in which masters keep their control sockets.
 *
 * Layer: process.  A directory is used only if no third user can put files into
 * it or rename it: its sockets and locks are believed because of that.
 */
#include "process/rundir.h"

#include <errno.h>
#include <glob.h>
#include <prefork.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SYSTEMD, RUN, XDG, TMP, KINDS };

/* The absolute path in the variable, up to a colon, or an empty one. */
static const char *
from_environment(const char *variable, const char *below, char *dst)
{
	const char *value = getenv(variable);
	int n;

	dst[0] = '\0';
	if (value == NULL || value[0] != '/')
		return dst;
	n = snprintf(dst, PFK_CONTROL_SIZE, "%.*s%s", (int)strcspn(value, ":"),
	    value, below);
	if (n >= PFK_CONTROL_SIZE)
		dst[0] = '\0';
	return dst;
}

/* Number i, whether this process may use it or not. */
static bool
get(int i, char *dst)
{
	switch (i) {
	case SYSTEMD:
		from_environment("RUNTIME_DIRECTORY", "", dst);
		return true;
	case RUN:
		strlcpy(dst, "/run/prefork", PFK_CONTROL_SIZE);
		return true;
	case XDG:
		from_environment("XDG_RUNTIME_DIR", "/prefork", dst);
		return true;
	case TMP:
		snprintf(dst, PFK_CONTROL_SIZE, "/tmp/prefork-%u",
		    (unsigned)geteuid());
		return true;
	default:
		return false;
	}
}

bool
pfk__rundir_get(int i, char *dst)
{
	bool there = get(i, dst);

	if (i == RUN && geteuid() != 0)
		dst[0] = '\0';
	return there;
}

bool
pfk__rundir_is_shared(int i)
{
	/* Service managers remove a service's own, which may hold other files. */
	return i != SYSTEMD;
}

static int
bad(const char **errstr, int error, const char *why)
{
	*errstr = why;
	errno = error;
	return -1;
}

/*
 * Anybody can make directories in /tmp, so there the directory itself must be
 * this user's and closed to all others.  Those in /run were made by root.
 */
static int
check(int i, const char *path, const char **errstr)
{
	struct stat st;
	int rc = i == TMP ? lstat(path, &st) : stat(path, &st);

	*errstr = NULL;
	if (rc == -1)
		return -1;
	if (!S_ISDIR(st.st_mode))
		return bad(errstr, ENOTDIR, "it is not a directory");
	if (i == TMP && (st.st_mode & 077) != 0)
		return bad(errstr, EPERM, "its mode is not 0700");
	if (i < KINDS && st.st_uid != geteuid() && (i == TMP || st.st_uid != 0))
		return bad(errstr, EPERM, "it belongs to another user");
	if ((st.st_mode & S_IWOTH) != 0)
		return bad(errstr, EPERM, "everybody may write to it");
	return 0;
}

int
pfk__rundir_prepare(int i, const char *path, const char **errstr)
{
	*errstr = NULL;
	/* mkdir(2) follows no symbolic link at the end of the path. */
	if (i != SYSTEMD && mkdir(path, i == RUN ? 0755 : 0700) == -1 &&
	    errno != EEXIST)
		return -1;
	return check(i, path, errstr);
}

/* The i-th directory made by RuntimeDirectory= of the units of prefork-echo. */
static bool
of_units(size_t i, char *dst)
{
	glob_t found;
	bool there;

	if (glob("/run/prefork-*", GLOB_ONLYDIR, NULL, &found) != 0)
		return false;
	there = i < found.gl_pathc;
	if (there &&
	    strlcpy(dst, found.gl_pathv[i], PFK_CONTROL_SIZE) >=
		PFK_CONTROL_SIZE)
		dst[0] = '\0';
	globfree(&found);
	return there;
}

bool
pfk_control_directory(int i, char *dst)
{
	const char *errstr;

	if (i < 0 || (!get(i, dst) && !of_units((size_t)(i - KINDS), dst)))
		return false;
	if (dst[0] != '\0' && check(i, dst, &errstr) == -1)
		dst[0] = '\0';
	return true;
}

const char *
pfk__rundir_closed(const char *path, uid_t user)
{
	static char why[PFK_ERROR_SIZE];
	char dir[PFK_CONTROL_SIZE], *slash;
	struct stat st;

	strlcpy(dir, path, sizeof(dir));
	while ((slash = strrchr(dir, '/')) != NULL && slash != dir) {
		*slash = '\0';
		if (user == 0 || stat(dir, &st) == -1 || st.st_uid == user ||
		    (st.st_mode & (S_IXGRP | S_IXOTH)) != 0)
			continue;
		snprintf(why, sizeof(why),
		    "user %u cannot enter %s, so that the workers could not "
		    "reach the next master at the control socket; chmod o+x "
		    "%s, or take another --control",
		    (unsigned)user, dir, dir);
		return why;
	}
	return NULL;
}
