/*
 * table.c: one table with the options of the library and of the program.
 *
 * Layer: main.  The program's come first, because --help prints them in this
 * order.  Their offsets grow by the place of its configuration.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/option.h"
#include "main/program.h"

#define HELP_SIZE 100

struct pfk__table {
	char port[HELP_SIZE], workers[HELP_SIZE], idle[HELP_SIZE];
	char sandbox[HELP_SIZE];
	char bind[2 * HELP_SIZE];
	struct pfk_option options[];
};

size_t
pfk__table_offset(void)
{
	const size_t align = _Alignof(max_align_t);

	return (sizeof(struct pfk__settings) + align - 1) / align * align;
}

static bool
has_letter(const struct pfk_option *list, int letter)
{
	for (; list != NULL && list->name != NULL; list++) {
		if (list->letter == letter)
			return true;
	}
	return false;
}

/* The help of an option with a default of the program's. */
static const char *
with_default(char *dst, const char *help, const char *value)
{
	snprintf(dst, HELP_SIZE, "%s (%s)", help, value);
	return dst;
}

/* The form of --bind's value with the names of the services. */
static const char *
explain_bind(char *dst, const char *help, const struct pfk_service *v)
{
	size_t n = pfk__service_count(v), size = 2 * HELP_SIZE;

	strlcpy(dst, "[tcp:|udp:]HOST[:PORT]", size);
	for (size_t i = 1; i < n; i++) {
		strlcat(dst, i == 1 ? "[," : "|", size);
		strlcat(dst, v[i].name, size);
	}
	strlcat(dst, n > 1 ? "], " : ", ", size);
	strlcat(dst, help, size);
	return dst;
}

static void
show_defaults(struct pfk__table *t, struct pfk_option *o,
    const struct pfk_program *p)
{
	char value[32];

	if (strcmp(o->name, "port") == 0) {
		snprintf(value, sizeof(value), "%d", p->port);
		o->help = with_default(t->port, o->help, value);
	} else if (strcmp(o->name, "workers") == 0) {
		snprintf(value, sizeof(value), "%d", p->workers);
		o->help = with_default(t->workers, o->help,
		    p->workers > 0 ? value : "auto");
	} else if (strcmp(o->name, "idle-timeout") == 0) {
		snprintf(value, sizeof(value), "%g",
		    (double)p->idle_ns / (double)PFK_SECOND_NS);
		o->help = with_default(t->idle, o->help, value);
	} else if (strcmp(o->name, "sandbox") == 0) {
		o->help = with_default(t->sandbox, o->help,
		    pfk__sandbox_names[p->sandbox]);
	} else if (strcmp(o->name, "bind") == 0) {
		o->help = explain_bind(t->bind, o->help, p->services);
	}
}

struct pfk__table *
pfk__table_new(const struct pfk_program *program)
{
	const struct pfk_option *own = program->options;
	size_t n_own = own != NULL ? pfk__options_count(own) : 0;
	size_t n = pfk__options_count(pfk__main_options);
	struct pfk__table *t = calloc(1,
	    sizeof(*t) + (n_own + n + 1) * sizeof(t->options[0]));
	struct pfk_option *to;

	if (t == NULL)
		return NULL;
	to = t->options;
	for (size_t i = 0; i < n_own; i++, to++) {
		*to = own[i];
		to->offset += pfk__table_offset();
	}
	for (size_t i = 0; i < n; i++, to++) {
		*to = pfk__main_options[i];
		if (has_letter(own, to->letter))
			to->letter = 0;
		show_defaults(t, to, program);
	}
	return t;
}

const struct pfk_option *
pfk__table_options(const struct pfk__table *t)
{
	return t->options;
}

void
pfk__table_free(struct pfk__table *t)
{
	free(t);
}
