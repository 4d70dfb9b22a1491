/*
 * fork.c: a child of a loop's process must not go on with the loop.
 *
 * Layer: event.  pthread_atfork(3); the keepers' clone(2) does not count.
 */
#include "event/fork.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/misuse.h"

unsigned pfk__forks;

static LIST_HEAD(, pfk_loop) loops = LIST_HEAD_INITIALIZER(loops);

static void
in_child(void)
{
	const struct pfk_loop *l;

	pfk__forks++;
	LIST_FOREACH(l, &loops, link) {
		if (l->ledger->shared)
			mprotect(l->ledger->map, l->ledger->map_len, PROT_READ);
	}
}

void
pfk__fork_noted(void)
{
	in_child();
}

void
pfk__fork_watch(struct pfk_loop *l)
{
	static bool watched;

	if (!watched)
		watched = pthread_atfork(NULL, NULL, in_child) == 0;
	l->forks = pfk__forks;
	LIST_INSERT_HEAD(&loops, l, link);
}

void
pfk__fork_unwatch(struct pfk_loop *l)
{
	LIST_REMOVE(l, link);
}

void
pfk__fork_returned(struct pfk_loop *l)
{
	if (!l->complained_fork)
		pfk__misuse(ECHILD,
		    "the child of a fork(2) in a callback has returned from "
		    "it; end it there by _exit(2) or execve(2)");
	l->complained_fork = true;
	errno = ECHILD;
	if (l->ledger->shared)
		_exit(EX_SOFTWARE);
}
