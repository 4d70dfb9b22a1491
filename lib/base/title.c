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

/*
 * libbsd-ctor's, which prepares the titles before main; a program need not be
 * linked with it.  Without either, setproctitle(3) would print a complaint.
 */
extern void (*libbsd_init_func)(int argc, char **argv, char **envp)
    __attribute__((weak));

static char *first; /* argv[0], which the title overwrites */
static size_t first_len;
static bool prepared;

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
pfk__title_prepare(int argc, char **argv)
{
	/* Arguments that are not the process's have no room for a title. */
	if (&libbsd_init_func != NULL || prepared || argc == 0 ||
	    argv[0] != first)
		return;
	setproctitle_init(argc, argv, environ);
	prepared = true;
}

void
pfk__title_set(const char *fmt, ...)
{
	char text[TITLE_SIZE];
	va_list ap;
	size_t len;

	if (&libbsd_init_func == NULL && !prepared)
		return;
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
