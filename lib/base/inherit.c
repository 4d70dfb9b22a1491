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

static int
set_cloexec(const struct pfk__inherited *i, int flag)
{
	if (fcntl(i->lock, F_SETFD, flag) == -1 ||
	    fcntl(i->control, F_SETFD, flag) == -1)
		return -1;
	return i->standin == -1 ? 0 : fcntl(i->standin, F_SETFD, flag);
}

bool
pfk__inherited(struct pfk__inherited *i)
{
	const char *text = getenv(VARIABLE);
	int pid, n = 0;

	if (text == NULL ||
	    sscanf(text, "%d:%d:%d:%d:%d:%n", &pid, &i->lock, &i->control,
		&i->standin, &i->standin_pid, &n) != 5 ||
	    n == 0)
		return false;
	i->path = text + n;
	return pid == getpid() && i->lock > STDERR_FILENO &&
	    i->control > STDERR_FILENO &&
	    (i->standin == -1 || i->standin > STDERR_FILENO) &&
	    set_cloexec(i, FD_CLOEXEC) == 0;
}

int
pfk__inherit_announce(const struct pfk__inherited *i)
{
	char *text;
	int rc;

	if (asprintf(&text, "%d:%d:%d:%d:%d:%s", (int)getpid(), i->lock,
		i->control, i->standin, (int)i->standin_pid, i->path) == -1)
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

	if (!pfk__inherited(&i))
		return 0;
	fds[0] = i.lock;
	fds[1] = i.control;
	fds[2] = i.standin;
	return i.standin == -1 ? 2 : 3;
}

bool
pfk_upgrading(void)
{
	struct pfk__inherited i;

	return pfk__inherited(&i);
}
