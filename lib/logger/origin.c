/*
 * origin.c: which of the processes that share a pipe wrote a line.
 *
 * Layer: logger.  A keeper and the workers that it clones, one after the other,
 * have one pipe.  The master tells the keeper's pid, but a successor may start
 * while the master is dead, so the writer gives its pid with the line, and
 * proc(5) has the proof: the kernel knows the parent.
 */
#include <errno.h>
#include <signal.h>

#include "base/parent.h"
#include "logger/inside.h"

/* Only a living process of others could be harmed by lines in its name. */
static bool
is_plausible(const struct pfk__source *src, int pid)
{
	pid_t parent = pfk__parent_of(pid);

	return parent <= 0 || parent == src->pid ||
	    (kill(src->pid, 0) == -1 && errno == ESRCH);
}

int
pfk__source_pid(struct pfk__source *src, int claimed)
{
	int latest = src->workers[0] != 0 ? src->workers[0] : src->pid;

	if (claimed <= 0)
		return latest;
	if (claimed == src->pid || claimed == src->workers[0] ||
	    claimed == src->workers[1])
		return claimed;
	/* Process 1 has no parent, as one that has ended. */
	if (claimed == 1 || !is_plausible(src, claimed))
		return latest;
	src->workers[1] = src->workers[0];
	src->workers[0] = claimed;
	return claimed;
}
