/*
 * title.h: the title of a process, as ps(1) shows it.
 */
#ifndef PFK_BASE_TITLE_H
#define PFK_BASE_TITLE_H

#include <prefork.h>

/* The program's name and the text, without padding behind it. */
void pfk__title_set(const char *fmt, ...) PFK_PRINTF(1, 2);

#endif
