/*
 * A table of mistakes in the use of the library.  Each is made in a child of
 * its own, and its standard error must have the line that names it.
 */
#ifndef MISUSE_H
#define MISUSE_H

#include <prefork.h>

struct misuse {
	const char *name;
	/* In the child: returns errno, or 0 where nothing failed. */
	int (*make)(void);
	int error;
	const char *line;
};

/* Of the child. */
extern struct pfk_loop *misuse_loop;

void misuse_try(const struct misuse *r);

#endif
