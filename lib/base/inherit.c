/*
 * inherit.c: descriptors that a program gets from the one that it replaces.
 *
 * Layer: base.  execve(2).
 */
#include "base/inherit.h"

#include <fcntl.h>
#include <prefork.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define VARIABLE "PREFORK_UPGRADE"

static size_t
list(const struct pfk__inherited *i, int fds[PFK__INHERITED_MAX])
{
	const int all[] = {i->lock, i->control, i->standin, i->history};
	size_t n = 0;

	for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++) {
		if (all[k] != -1)
			fds[n++] = all[k];
	}
	return n;
}

static int
set_cloexec(const struct pfk__inherited *i, int flag)
{
	int fds[PFK__INHERITED_MAX];

	for (size_t n = list(i, fds); n > 0; n--) {
		if (fds[n - 1] <= STDERR_FILENO ||
		    fcntl(fds[n - 1], F_SETFD, flag) == -1)
			return -1;
	}
	return 0;
}

bool
pfk__inherited(struct pfk__inherited *i)
{
	const char *text = getenv(VARIABLE);
	int pid, n = 0, more = 0;

	if (text == NULL ||
	    sscanf(text, "%d:%d:%d:%d:%d:%n", &pid, &i->lock, &i->control,
		&i->standin, &i->standin_pid, &n) != 5 ||
	    n == 0)
		return false;
	/* The first program that could be replaced had no counters. */
	if (sscanf(text + n, "%d:%n", &i->history, &more) != 1 || more == 0)
		i->history = -1;
	i->path = text + n + more;
	return pid == getpid() && i->lock != -1 && i->control != -1 &&
	    set_cloexec(i, FD_CLOEXEC) == 0;
}

int
pfk__inherit_announce(const struct pfk__inherited *i)
{
	char *text, history[16] = "";
	int rc;

	if (i->history != -1)
		snprintf(history, sizeof(history), "%d:", i->history);
	if (asprintf(&text, "%d:%d:%d:%d:%d:%s%s", (int)getpid(), i->lock,
		i->control, i->standin, (int)i->standin_pid, history,
		i->path) == -1)
		return -1;
	rc = setenv(VARIABLE, text, 1);
	free(text);
	return rc == 0 ? set_cloexec(i, 0) : -1;
}

void
pfk__inherit_forget(void)
{
	struct pfk__inherited i;

	if (pfk__inherited(&i))
		unsetenv(VARIABLE);
}

size_t
pfk__inherited_fds(int fds[PFK__INHERITED_MAX])
{
	struct pfk__inherited i;

	return pfk__inherited(&i) ? list(&i, fds) : 0;
}

bool
pfk_upgrading(void)
{
	struct pfk__inherited i;

	return pfk__inherited(&i);
}
