/*
 * exit.c: how a process that the master has forked ends.
 *
 * Layer: process.  on_exit(3): handlers run in reverse order, so this one runs
 * after those of the child and before those of main.
 */
#include "process/exit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef PFK_CHECKED
#include <sanitizer/lsan_interface.h>
#endif

static bool prepared, forked;

static void
end(int status, void *arg)
{
	(void)arg;
	if (!forked)
		return;
	fflush(NULL);
#ifdef PFK_CHECKED
	__lsan_do_leak_check();
#endif
	_exit(status);
}

int
pfk__exit_prepare(void)
{
	if (!prepared && on_exit(end, NULL) != 0) {
		errno = ENOMEM;
		return -1;
	}
	prepared = true;
	return 0;
}

void
pfk__exit_forked(void)
{
	forked = true;
}
