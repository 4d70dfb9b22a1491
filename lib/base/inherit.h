/*
 * inherit.h: descriptors that a program gets from the one that it replaces by
 * exec(2), in the environment variable PREFORK_UPGRADE.
 *
 * The variable has the process's own pid in it, so that its children do not
 * believe it.
 */
#ifndef PFK_BASE_INHERIT_H
#define PFK_BASE_INHERIT_H

#include <sys/types.h>

#include <stdbool.h>

struct pfk__inherited {
	int lock;          /* the service's lock */
	int control;       /* its control socket, which listens */
	int standin;       /* to the stand-in, or -1: this is the stand-in */
	pid_t standin_pid; /* 0: this program was there before, and is back */
	int history;       /* the counters (process/history.h), or -1 */
	const char *path;  /* of the program's file, as it was called first */
};

/* False: this process replaces none.  The descriptors are closed by exec(2). */
bool pfk__inherited(struct pfk__inherited *i);

/*
 * For the program that replaces this one in this process: let it have the
 * descriptors.  -1: errno; pfk__inherit_forget undoes it.
 */
int pfk__inherit_announce(const struct pfk__inherited *i);

/* The numbers are in use now; a program that is executed later gets none. */
void pfk__inherit_forget(void);

/* The descriptors of pfk__inherited, for a list of those to keep: 0 to 4. */
#define PFK__INHERITED_MAX 4
size_t pfk__inherited_fds(int fds[PFK__INHERITED_MAX]);

#endif
