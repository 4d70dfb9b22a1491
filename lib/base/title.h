/*
 * title.h: the title of a process, as ps(1) shows it.
 */
#ifndef PFK_BASE_TITLE_H
#define PFK_BASE_TITLE_H

#include <prefork.h>

/*
 * With main's arguments, before anybody keeps a pointer to their strings or to
 * the environment's: titles can be set from then on.  Programs that are linked
 * with libbsd-ctor need no call.
 */
void pfk__title_prepare(int argc, char **argv);

/* The program's name and the text, without padding behind it. */
void pfk__title_set(const char *fmt, ...) PFK_PRINTF(1, 2);

#endif
