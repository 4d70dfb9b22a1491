/*
 * help.c: the answers to --help, --version and --dump-config.
 *
 * Layer: main.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "main/program.h"

#define SYNOPSIS_WIDTH 72
#define LETTERS_MAX 128

static int
cannot_write(void)
{
	pfk_complain("cannot write: %s", strerror(errno));
	return EX_IOERR;
}

/* By the alphabet, the upper case first. */
static int
compare_letters(const void *one, const void *other)
{
	const struct pfk_option *a = *(const struct pfk_option *const *)one;
	const struct pfk_option *b = *(const struct pfk_option *const *)other;
	int la = tolower(a->letter), lb = tolower(b->letter);

	return la != lb ? la - lb : a->letter - b->letter;
}

/* The options that have a letter, sorted.  Returns their number. */
static size_t
sort_letters(const struct pfk_option *o, const struct pfk_option **list)
{
	size_t n = 0;

	for (; o->name != NULL && n < LETTERS_MAX; o++) {
		if (o->letter != 0)
			list[n++] = o;
	}
	/* An array of pointers. NOLINTNEXTLINE(bugprone-sizeof-expression) */
	qsort(list, n, sizeof(*list), compare_letters);
	return n;
}

/* "usage: program [-flags] [-b ADDR] ..." */
static void
print_synopsis(const struct pfk_option *options)
{
	const struct pfk_option *list[LETTERS_MAX] = {NULL};
	size_t n = sort_letters(options, list);
	int column = printf("usage: %s [-", getprogname());
	int indent = column - 2;
	char word[80];

	for (size_t i = 0; i < n; i++) {
		if (list[i]->value == NULL)
			column += printf("%c", list[i]->letter);
	}
	column += printf("]");
	for (size_t i = 0; i < n; i++) {
		int len;

		if (list[i]->value == NULL)
			continue;
		len = snprintf(word, sizeof(word), " [-%c %s]", list[i]->letter,
		    list[i]->value);
		if (column + len > SYNOPSIS_WIDTH)
			column = printf("\n%*s", indent, "") - 1;
		column += printf("%s", word);
	}
	printf("\n\n");
}

int
pfk__print_help(const struct pfk__main *m)
{
	const struct pfk_program *p = m->program;
	const struct pfk_option *options = pfk__table_options(m->table);

	print_synopsis(options);
	printf("%s%sDefaults in brackets.\n\n",
	    p->about != NULL ? p->about : "", p->about != NULL ? "  " : "");
	if (fflush(stdout) != 0 ||
	    pfk_options_usage(options, STDOUT_FILENO) == -1)
		return cannot_write();
	if (p->example != NULL)
		printf("\nExample: %s %s\n", getprogname(), p->example);
	printf("While it runs, prefork-ctl shows and commands it: prefork-ctl "
	       "--help\n");
	return fflush(stdout) == 0 ? EX_OK : cannot_write();
}

int
pfk__print_version(const struct pfk__main *m)
{
	const char *version = m->program->version;

	printf("%s %s\n", getprogname(),
	    version != NULL ? version : "(no version)");
	return fflush(stdout) == 0 ? EX_OK : cannot_write();
}

int
pfk__print_settings(const struct pfk__settings *s)
{
	const struct pfk_service *services = s->program->services;
	char name[PFK_ADDR_SIZE];

	for (size_t i = 0; i < s->setup.n_endpoints; i++) {
		const struct pfk_endpoint *e = &s->setup.endpoints[i];

		printf("# serves %s %s%s%s\n",
		    e->listen.kind == PFK_TCP ? "tcp" : "udp",
		    pfk_addr_format(name, &e->listen.addr),
		    e->service > 0 ? ", " : "",
		    e->service > 0 ? services[e->service].name : "");
	}
	printf("# workers: %d\n", pfk__settings_workers(s));
	if (fflush(stdout) != 0 ||
	    pfk_options_dump(s->options, s, STDOUT_FILENO) == -1)
		return cannot_write();
	return EX_OK;
}
