/*
 * places.c: the directories that a start needs for its files.
 *
 * Layer: main.
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "main/program.h"

/*
 * A directory that this user must not look into may be there for the user of the
 * service.
 */
static int
check_directory(const char *what, const char *path)
{
	char copy[PATH_MAX];
	const char *dir;
	struct stat st;

	if (path == NULL || strlcpy(copy, path, sizeof(copy)) >= sizeof(copy))
		return EX_OK;
	dir = dirname(copy);
	if (stat(dir, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return EX_OK;
		errno = ENOTDIR;
	}
	if (errno != ENOENT && errno != ENOTDIR)
		return EX_OK;
	pfk_complain("%s %s cannot be made: directory %s: %s", what, path, dir,
	    strerror(errno));
	return EX_CANTCREAT;
}

/* A start opens it as a file, but for these names of --log. */
static int
check_file(const char *what, const char *path)
{
	struct stat st;
	int error = 0;

	if (path == NULL || strcmp(path, "-") == 0 ||
	    strcmp(path, "syslog") == 0)
		return EX_OK;
	if (path[0] == '\0')
		error = ENOENT;
	else if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		error = EISDIR;
	if (error == 0)
		return check_directory(what, path);
	pfk_complain("cannot open %s %s: %s", what,
	    error == ENOENT ? "''" : path, strerror(error));
	return EX_CANTCREAT;
}

int
pfk__places_check(const struct pfk__settings *s)
{
	int status = check_file("log", s->log);

	if (status == EX_OK)
		status = check_file("pid file", s->pid_file);
	if (status == EX_OK)
		status = check_directory("control socket", s->control);
	return status;
}
