/*
 * option.c: one table for argv and the configuration file; here the values and
 * argv.
 *
 * Layer: base.  getopt_long(3) does argv; the table alone says which values are
 * allowed.  The file is option_file.c's.
 */
#include "base/option.h"

#include <errno.h>
#include <getopt.h>
#include <libutil.h>
#include <prefork.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LONG_BASE 256 /* getopt's value of the first long option */

size_t
pfk__options_count(const struct pfk_option *table)
{
	size_t n = 0;

	while (table[n].name != NULL)
		n++;
	return n;
}

int
pfk__options_fit(const struct pfk_option *table, char *err)
{
	size_t n = pfk__options_count(table);

	if (n <= PFK__OPTIONS_MAX)
		return 0;
	snprintf(err, PFK_ERROR_SIZE,
	    "the program has a table of %zu options, and %d is the most", n,
	    PFK__OPTIONS_MAX);
	errno = E2BIG;
	return -1;
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

/*
 * Digits and nothing before them: strtonum(3) takes blanks and a plus sign, too,
 * and a minus sign is for its own message.
 */
static bool
is_number(const char *value)
{
	value += *value == '-';
	return *value != '\0' && value[strspn(value, "0123456789")] == '\0';
}

static int
parse_int(const struct pfk_option *o, int *field, const char *value,
    const char **errstr)
{
	int number;

	if (!is_number(value)) {
		*errstr = "must be a whole number";
		return -1;
	}
	number = (int)strtonum(value, o->min, o->max, errstr);
	if (*errstr != NULL)
		return -1;
	*field = number;
	return 0;
}

static int
parse_size(const struct pfk_option *o, int64_t *field, const char *value,
    const char **errstr)
{
	const char *start = value, *end = value + strspn(value, "0123456789");
	uint64_t n;

	/* To expand_number(3) a leading zero means octal. */
	while (*start == '0' && start + 1 < end)
		start++;
	/* It ignores the rest after the first letter. */
	if (end == value || (*end != '\0' && end[1] != '\0') ||
	    (*end != '\0' && strchr("kKmMgG", *end) == NULL)) {
		*errstr = "must be a size such as 65536, 64k or 1M";
		return -1;
	}
	if (expand_number(start, &n) == -1 || n > (uint64_t)o->max)
		*errstr = "too large";
	else if (n < (uint64_t)o->min)
		*errstr = "too small";
	else
		*field = (int64_t)n;
	return *errstr == NULL ? 0 : -1;
}

/* Up to nine digits of a fraction; the digits beyond them are rounded up. */
static uint64_t
parse_fraction(const char *digits)
{
	uint64_t ns = 0;
	int n = 0;

	for (; n < 9; n++)
		ns = ns * 10 +
		    (uint64_t)(*digits != '\0' ? *digits++ - '0' : 0);
	return ns + (digits[strspn(digits, "0")] != '\0');
}

/*
 * No strtod(3): it takes signs, blanks, NaN, hexadecimal and exponents, goes by
 * the locale, and rounds a tiny time to 0, which means no limit in many places.
 */
static int
parse_seconds(const struct pfk_option *o, uint64_t *field, const char *value,
    const char **errstr)
{
	size_t whole, fraction = 0;
	const char *digits;
	char text[24] = "0";
	uint64_t ns;
	long long n = 0;

	whole = strspn(value, "0123456789");
	digits = value + whole + (value[whole] == '.');
	fraction = strspn(digits, "0123456789");
	if (whole + fraction == 0 || digits[fraction] != '\0') {
		*errstr = value[0] == '-' && is_number(value)
		    ? "too small"
		    : "must be a number of seconds such as 8 or 0.5";
		return -1;
	}
	ns = parse_fraction(digits);
	if (whole > 0 &&
	    snprintf(text, sizeof(text), "%.*s", (int)whole, value) >=
		(int)sizeof(text))
		*errstr = "too large";
	else
		n = strtonum(text, 0, o->max, errstr);
	if (*errstr != NULL)
		return -1;
	if (n == o->max && ns > 0)
		*errstr = "too large";
	else if (n < o->min)
		*errstr = "too small";
	else
		*field = (uint64_t)n * PFK_SECOND_NS + ns;
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

int
pfk__option_parse(const struct pfk_option *o, void *config, const char *value,
    bool first, const char **errstr)
{
	void *field = (char *)config + o->offset;

	if (value == NULL)
		value = "on"; /* a flag that is named is on */
	*errstr = NULL;
	switch (o->type) {
	case PFK_OPT_FLAG:
	case PFK_OPT_ONOFF:
		return parse_bool(field, value, errstr);
	case PFK_OPT_INT:
		return parse_int(o, field, value, errstr);
	case PFK_OPT_SIZE:
		return parse_size(o, field, value, errstr);
	case PFK_OPT_SECONDS:
		return parse_seconds(o, field, value, errstr);
	case PFK_OPT_STRING:
		return parse_string(field, value, errstr);
	case PFK_OPT_CUSTOM:
		return o->parse(field, value, first, errstr);
	}
	return -1;
}

const char *
pfk__option_bounds(const struct pfk_option *o, char *buf, size_t size)
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
	struct option longs[PFK__OPTIONS_MAX + 1] = {0};
	char shorts[2 * PFK__OPTIONS_MAX + 3], range[64];
	bool seen[PFK__OPTIONS_MAX] = {false};
	const char *errstr;
	int c;

	if (pfk__options_fit(table, err) == -1)
		return -1;
	build_getopt(table, longs, shorts);
	opterr = 0;
	optind = 0; /* glibc: start anew */
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct pfk_option *o;

		if (c == '?' || c == ':')
			return argv_error(table, c, argv, err);
		o = by_getopt_value(table, c);
		if (pfk__option_parse(o, config, optarg, !seen[o - table],
			&errstr) == -1) {
			snprintf(err, PFK_ERROR_SIZE,
			    "option --%s: bad value '%.100s': %s%s", o->name,
			    optarg, errstr,
			    pfk__option_bounds(o, range, sizeof(range)));
			errno = EINVAL;
			return -1;
		}
		seen[o - table] = true;
	}
	return optind;
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
