/*
 * passed.c: descriptors that the service manager passes: sd_listen_fds(3).
 *
 * Layer: base.
 */
#include "base/passed.h"

#include <fcntl.h>
#include <limits.h>
#include <prefork.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* systemd passes no more than its own limit of descriptors. */
#define PASSED_MAX 65536

static struct {
	bool read;
	int count;
	char *names;
} passed;

/* A variable's number, or 0. */
static int
number(const char *variable, int max)
{
	const char *text = getenv(variable), *errstr;

	return text != NULL ? (int)strtonum(text, 1, max, &errstr) : 0;
}

int
pfk__passed_count(void)
{
	const char *names;

	if (passed.read)
		return passed.count;
	passed.read = true;
	if (number("LISTEN_PID", INT_MAX) == (int)getpid())
		passed.count = number("LISTEN_FDS", PASSED_MAX);
	names = getenv("LISTEN_FDNAMES");
	if (passed.count > 0 && names != NULL)
		passed.names = strdup(names);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	for (int i = 0; i < passed.count; i++) {
		/* A number that is not open ends the list. */
		if (fcntl(PFK__PASSED_FIRST + i, F_SETFD, FD_CLOEXEC) == -1)
			passed.count = i;
	}
	return passed.count;
}

const char *
pfk__passed_names(void)
{
	return passed.names;
}
