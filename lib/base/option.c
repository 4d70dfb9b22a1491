/*
 * option.c: one table for argv and the configuration file.
 *
 * Layer: base.  getopt_long(3) does argv, fparseln(3) the lines; what a value
 * may be stands in the table alone.
 */
#include "base/option.h"

#include <errno.h>
#include <getopt.h>
#include <libutil.h>
#include <math.h>
#include <prefork.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OPTIONS_MAX 64
#define LONG_BASE 256 /* getopt's value of the first long option */

size_t
pfk__options_count(const struct pfk_option *table)
{
	size_t n = 0;

	while (table[n].name != NULL)
		n++;
	return n;
}

static int
parse_bool(bool *field, const char *value, const char **errstr)
{
	if (strcmp(value, "on") == 0 || strcmp(value, "yes") == 0) {
		*field = true;
	} else if (strcmp(value, "off") == 0 || strcmp(value, "no") == 0) {
		*field = false;
	} else {
		*errstr = "must be on or off";
		return -1;
	}
	return 0;
}

static int
parse_size(const struct pfk_option *o, int64_t *field, const char *value,
    const char **errstr)
{
	const char *end = value + strspn(value, "0123456789");
	uint64_t n;

	/* expand_number(3) ignores what follows the first letter. */
	if (end == value || (*end != '\0' && end[1] != '\0') ||
	    expand_number(value, &n) == -1)
		*errstr = "must be a size such as 65536, 64k or 1M";
	else if (n > (uint64_t)o->max)
		*errstr = "too large";
	else if (n < (uint64_t)o->min)
		*errstr = "too small";
	else
		*field = (int64_t)n;
	return *errstr == NULL ? 0 : -1;
}

static int
parse_seconds(const struct pfk_option *o, uint64_t *field, const char *value,
    const char **errstr)
{
	char *end;
	double seconds = strtod(value, &end);

	if (end == value || *end != '\0' || !isfinite(seconds) ||
	    strpbrk(value, "xXpP ") != NULL)
		*errstr = "must be a number of seconds";
	else if (seconds > (double)o->max)
		*errstr = "too large";
	else if (seconds < (double)o->min)
		*errstr = "too small";
	else
		*field = (uint64_t)llround(seconds * 1e9);
	return *errstr == NULL ? 0 : -1;
}

static int
parse_string(char **field, const char *value, const char **errstr)
{
	char *copy = strdup(value);

	if (copy == NULL) {
		*errstr = "out of memory";
		return -1;
	}
	free(*field);
	*field = copy;
	return 0;
}

static int
parse_value(const struct pfk_option *o, void *config, const char *value,
    bool first, const char **errstr)
{
	void *field = (char *)config + o->offset;
	int number;

	if (value == NULL)
		value = "on"; /* a flag that is named is on */
	*errstr = NULL;
	switch (o->type) {
	case PFK_OPT_FLAG:
	case PFK_OPT_ONOFF:
		return parse_bool(field, value, errstr);
	case PFK_OPT_INT:
		number = (int)strtonum(value, o->min, o->max, errstr);
		if (*errstr != NULL)
			return -1;
		*(int *)field = number;
		return 0;
	case PFK_OPT_SIZE:
		return parse_size(o, field, value, errstr);
	case PFK_OPT_SECONDS:
		return parse_seconds(o, field, value, errstr);
	case PFK_OPT_STRING:
		return parse_string(field, value, errstr);
	case PFK_OPT_CUSTOM:
		return o->parse(config, value, first, errstr);
	}
	return -1;
}

/* What a bad value's message adds: the bounds, where the table has them. */
static const char *
bounds(const struct pfk_option *o, char *buf, size_t size)
{
	buf[0] = '\0';
	if (o->type == PFK_OPT_INT || o->type == PFK_OPT_SIZE ||
	    o->type == PFK_OPT_SECONDS)
		snprintf(buf, size, "; it takes %lld to %lld",
		    (long long)o->min, (long long)o->max);
	return buf;
}

static void
build_getopt(const struct pfk_option *table, struct option *longs, char *shorts)
{
	*shorts++ = '+';
	*shorts++ = ':';
	for (size_t i = 0; table[i].name != NULL; i++) {
		longs[i] = (struct option){.name = table[i].name,
		    .has_arg = table[i].value != NULL ? required_argument
						      : no_argument,
		    .val = LONG_BASE + (int)i};
		if (table[i].letter == 0)
			continue;
		*shorts++ = (char)table[i].letter;
		if (table[i].value != NULL)
			*shorts++ = ':';
	}
	*shorts = '\0';
}

static const struct pfk_option *
by_getopt_value(const struct pfk_option *table, int value)
{
	if (value >= LONG_BASE)
		return &table[value - LONG_BASE];
	while (table->name != NULL && table->letter != value)
		table++;
	return table->name != NULL ? table : NULL;
}

static int
argv_error(const struct pfk_option *table, int problem, char *const *argv,
    char *err)
{
	const struct pfk_option *o = optopt != 0
	    ? by_getopt_value(table, optopt)
	    : NULL;
	const char *word = argv[optind - 1];

	if (problem == ':' && o != NULL)
		snprintf(err, PFK_ERROR_SIZE, "option --%s needs a value: %s",
		    o->name, o->value);
	else if (o != NULL)
		snprintf(err, PFK_ERROR_SIZE, "option --%s takes no value",
		    o->name);
	else if (optopt != 0)
		snprintf(err, PFK_ERROR_SIZE,
		    "unknown option -%c; see %s --help", optopt, getprogname());
	else
		snprintf(err, PFK_ERROR_SIZE,
		    "unknown or ambiguous option %.100s; see %s --help", word,
		    getprogname());
	errno = EINVAL;
	return -1;
}

int
pfk_options_argv(const struct pfk_option *table, void *config, int argc,
    char *const *argv, char *err)
{
	struct option longs[OPTIONS_MAX + 1] = {0};
	char shorts[2 * OPTIONS_MAX + 3], range[64];
	bool seen[OPTIONS_MAX] = {false};
	const char *errstr;
	int c;

	if (pfk__options_count(table) > OPTIONS_MAX) {
		errno = E2BIG;
		return -1;
	}
	build_getopt(table, longs, shorts);
	opterr = 0;
	optind = 0; /* glibc: start anew */
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct pfk_option *o;

		if (c == '?' || c == ':')
			return argv_error(table, c, argv, err);
		o = by_getopt_value(table, c);
		if (parse_value(o, config, optarg, !seen[o - table], &errstr) ==
		    -1) {
			snprintf(err, PFK_ERROR_SIZE,
			    "option --%s: bad value '%.100s': %s%s", o->name,
			    optarg, errstr, bounds(o, range, sizeof(range)));
			errno = EINVAL;
			return -1;
		}
		seen[o - table] = true;
	}
	return optind;
}

static const struct pfk_option *
by_key(const struct pfk_option *table, const char *key)
{
	for (; table->name != NULL; table++) {
		if (!(table->flags & PFK_OPT_ARGV_ONLY) &&
		    strcmp(table->name, key) == 0)
			return table;
	}
	return NULL;
}

/* Split "key value" or "key = value" in place; value is NULL without one. */
static char *
split_line(char *line, char **value)
{
	static const char blank[] = " \t\r";
	char *key = line + strspn(line, blank), *end;

	for (end = key + strlen(key); end > key && strchr(blank, end[-1]);)
		*--end = '\0';
	end = key + strcspn(key, " \t=");
	*value = end + strspn(end, blank);
	if (**value == '=')
		*value += 1 + strspn(*value + 1, blank);
	else if (*value == end)
		*value = NULL;
	*end = '\0';
	return key;
}

static int
parse_line(const struct pfk_option *table, void *config, char *line, bool *seen,
    char *err, size_t size)
{
	char *value, *key = split_line(line, &value), range[64];
	const struct pfk_option *o;
	const char *errstr = NULL;

	if (*key == '\0' && value == NULL)
		return 0;
	o = by_key(table, key);
	if (o == NULL) {
		snprintf(err, size, "unknown key '%.100s'; see %s --help", key,
		    getprogname());
		return -1;
	}
	if (o->value != NULL && (value == NULL || *value == '\0')) {
		snprintf(err, size, "%s needs a value: %s", key, o->value);
		return -1;
	}
	if (parse_value(o, config, value, !seen[o - table], &errstr) == -1) {
		snprintf(err, size, "%s: bad value '%.100s': %s%s", key, value,
		    errstr, bounds(o, range, sizeof(range)));
		return -1;
	}
	seen[o - table] = true;
	return 0;
}

static bool
ends_in_newline(FILE *f)
{
	bool ok;

	/* A pipe cannot be half written: its end is the writer's. */
	if (fseek(f, -1, SEEK_END) == -1)
		return true;
	ok = getc(f) == '\n';
	rewind(f);
	return ok;
}

int
pfk_options_file(const struct pfk_option *table, void *config, const char *path,
    char *err)
{
	bool seen[OPTIONS_MAX] = {false};
	char what[PFK_ERROR_SIZE - 64], *line;
	size_t number = 0, len;
	FILE *f = fopen(path, "re");
	int first = f != NULL ? getc(f) : EOF;

	if (first == EOF) {
		if (f != NULL && !ferror(f)) {
			fclose(f);
			return 0;
		}
		snprintf(err, PFK_ERROR_SIZE, "cannot read %s: %s", path,
		    strerror(errno));
		if (f != NULL)
			fclose(f);
		return -1;
	}
	ungetc(first, f);
	if (!ends_in_newline(f)) {
		snprintf(err, PFK_ERROR_SIZE,
		    "%s: the last line has no newline: half written? "
		    "end it with one",
		    path);
		fclose(f);
		errno = EINVAL;
		return -1;
	}
	while ((line = fparseln(f, &len, &number, NULL, FPARSELN_UNESCALL)) !=
	    NULL) {
		bool text = strlen(line) == len;
		int rc = text
		    ? parse_line(table, config, line, seen, what, sizeof(what))
		    : -1;

		free(line);
		if (rc == 0)
			continue;
		snprintf(err, PFK_ERROR_SIZE, "%s:%zu: %s", path, number,
		    text ? what : "holds a zero byte; is it a text file?");
		fclose(f);
		errno = EINVAL;
		return -1;
	}
	fclose(f);
	return 0;
}

void
pfk_options_free(const struct pfk_option *table, void *config)
{
	for (; table->name != NULL; table++) {
		char **field = (char **)((char *)config + table->offset);

		if (table->type == PFK_OPT_STRING) {
			free(*field);
			*field = NULL;
		}
	}
}
