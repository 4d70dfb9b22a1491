/*
 * program.c: the file and the arguments of this program.
 *
 * Layer: base.  execvp(3) has the rules of the search.
 */
#include "base/program.h"

#include <errno.h>
#include <limits.h>
#include <prefork.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/inherit.h"

static char *const *given;
static char path[PATH_MAX];
static char **args;

/* glibc calls constructors with the arguments of main. */
__attribute__((constructor)) static void
note_given(int argc, char **argv)
{
	(void)argc;
	given = argv;
}

/* Whether the file at `name` is the one that runs. */
static bool
is_this(const char *name)
{
	struct stat a, b;

	return stat(name, &a) == 0 && stat("/proc/self/exe", &b) == 0 &&
	    a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Into `path`; false: it is not this program there. */
static bool
try_in(const char *dir, size_t len, const char *name)
{
	char cwd[PATH_MAX] = "";
	int n;

	if (len == 0 || dir[0] != '/') {
		if (getcwd(cwd, sizeof(cwd)) == NULL)
			return false;
		strlcat(cwd, "/", sizeof(cwd));
	}
	n = snprintf(path, sizeof(path), "%s%.*s%s%s", cwd, (int)len, dir,
	    len > 0 ? "/" : "", name);
	return n > 0 && n < (int)sizeof(path) && is_this(path);
}

static bool
search(const char *name)
{
	const char *dir = getenv("PATH");

	if (name[0] == '/')
		return strlcpy(path, name, sizeof(path)) < sizeof(path) &&
		    is_this(path);
	if (strchr(name, '/') != NULL)
		return try_in("", 0, name);
	while (dir != NULL) {
		size_t len = strcspn(dir, ":");

		if (try_in(dir, len, name))
			return true;
		dir = dir[len] == ':' ? dir + len + 1 : NULL;
	}
	return false;
}

static int
find(const char *name)
{
	struct pfk__inherited i;
	ssize_t n;

	if (pfk__inherited(&i))
		return strlcpy(path, i.path, sizeof(path)) < sizeof(path) ? 0
									  : -1;
	if (name != NULL && search(name))
		return 0;
	n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (n > 0)
		path[n] = '\0';
	return n > 0 ? 0 : -1;
}

int
pfk__program_note(void)
{
	size_t n = 0;

	if (args != NULL)
		return 0;
	path[0] = '\0';
	while (given != NULL && given[n] != NULL)
		n++;
	errno = ENOENT;
	if (n == 0 || find(given[0]) == -1)
		return -1;
	args = calloc(n + 1, sizeof(*args));
	if (args == NULL)
		return -1;
	for (size_t i = 0; i < n; i++) {
		args[i] = strdup(given[i]);
		if (args[i] == NULL)
			goto err;
	}
	return 0;
err:
	while (n > 0)
		free(args[--n]);
	free(args);
	args = NULL;
	return -1;
}

const char *
pfk__program_path(void)
{
	return args != NULL ? path : NULL;
}

char *const *
pfk__program_argv(void)
{
	return args;
}
