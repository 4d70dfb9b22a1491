/*
 * title.c: the title of a process.
 *
 * setproctitle(3) of libbsd overwrites the arguments.  Where the title ends
 * before argv[0] did, it puts a dot at that place, and where it ends there, a
 * blank behind it, because the kernel may take that for the sign of a title.
 * ps(1) shows both, so that they are taken away here.
 *
 * Layer: base.
 */
#include "base/title.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TITLE_SIZE 512

static char *first; /* argv[0], which the title overwrites */
static size_t first_len;

/* glibc calls constructors with the arguments of main. */
__attribute__((constructor)) static void
note_first(int argc, char **argv)
{
	if (argc > 0) {
		first = argv[0];
		first_len = strlen(first);
	}
}

void
pfk__title_set(const char *fmt, ...)
{
	char text[TITLE_SIZE];
	va_list ap;
	size_t len;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	setproctitle("%s", text);
	if (first == NULL)
		return;
	len = strlen(first);
	if (len < first_len ||
	    (len == first_len + 1 && first[first_len] == ' '))
		first[first_len] = '\0';
}
