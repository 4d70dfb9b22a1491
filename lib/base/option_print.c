/*
 * option_print.c: --help and the dump of a configuration, from the table.
 *
 * Layer: base.
 */
#include <prefork.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELP_COLUMN 28
#define HELP_WIDTH 50

/* Print text from HELP_COLUMN on, folded at blanks. */
static int
print_folded(int fd, int column, const char *text)
{
	while (*text != '\0') {
		size_t n = strlen(text);

		if (n > HELP_WIDTH) {
			n = HELP_WIDTH;
			while (n > 0 && text[n] != ' ')
				n--;
		}
		if (n == 0)
			n = strlen(text);
		if (dprintf(fd, "%*s%.*s\n",
			column < HELP_COLUMN ? HELP_COLUMN - column : 1, "",
			(int)n, text) < 0)
			return -1;
		text += n + (text[n] == ' ');
		column = 0;
	}
	return 0;
}

int
pfk_options_usage(const struct pfk_option *table, int fd)
{
	for (; table->name != NULL; table++) {
		char left[64], letter[8] = "    ";
		int column;

		if (table->letter != 0)
			snprintf(letter, sizeof(letter), "-%c, ",
			    table->letter);
		snprintf(left, sizeof(left), "  %s--%s%s%s", letter,
		    table->name, table->value != NULL ? " " : "",
		    table->value != NULL ? table->value : "");
		column = (int)strlen(left);
		if (dprintf(fd, "%s%s", left,
			column < HELP_COLUMN ? "" : "\n") < 0 ||
		    print_folded(fd, column < HELP_COLUMN ? column : 0,
			table->help) == -1)
			return -1;
	}
	return 0;
}

/* Trailing zeros of a fraction say nothing. */
static void
format_seconds(char *buf, size_t size, uint64_t ns)
{
	snprintf(buf, size, "%llu.%09llu",
	    (unsigned long long)(ns / PFK_SECOND_NS),
	    (unsigned long long)(ns % PFK_SECOND_NS));
	for (size_t n = strlen(buf); n > 0; n--) {
		if (buf[n - 1] != '0') {
			if (buf[n - 1] == '.')
				n--;
			buf[n] = '\0';
			return;
		}
	}
}

static bool
format_value(const struct pfk_option *o, const void *config, int i, char *buf,
    size_t size)
{
	const void *field = (const char *)config + o->offset;

	if (o->type == PFK_OPT_CUSTOM)
		return o->format(field, i, buf, size);
	if (i > 0)
		return false;
	switch (o->type) {
	case PFK_OPT_FLAG:
	case PFK_OPT_ONOFF:
		strlcpy(buf, *(const bool *)field ? "on" : "off", size);
		return true;
	case PFK_OPT_INT:
		snprintf(buf, size, "%d", *(const int *)field);
		return *(const int *)field >= o->min;
	case PFK_OPT_SIZE:
		snprintf(buf, size, "%lld", (long long)*(const int64_t *)field);
		return *(const int64_t *)field >= o->min;
	case PFK_OPT_SECONDS:
		format_seconds(buf, size, *(const uint64_t *)field);
		return true;
	case PFK_OPT_STRING:
		if (*(char *const *)field == NULL)
			return false;
		strlcpy(buf, *(char *const *)field, size);
		return true;
	case PFK_OPT_CUSTOM:
		break;
	}
	return false;
}

/* As fparseln(3) reads it back. */
static void
escape(char *dst, size_t size, const char *src)
{
	for (; *src != '\0' && size > 2; src++) {
		if (*src == '#' || *src == '\\') {
			*dst++ = '\\';
			size--;
		}
		*dst++ = *src;
		size--;
	}
	*dst = '\0';
}

int
pfk_options_dump(const struct pfk_option *table, const void *config, int fd)
{
	char buf[1024], escaped[2 * sizeof(buf)];

	for (; table->name != NULL; table++) {
		if (table->flags & PFK_OPT_ARGV_ONLY)
			continue;
		for (int i = 0;
		     format_value(table, config, i, buf, sizeof(buf)); i++) {
			escape(escaped, sizeof(escaped), buf);
			if (dprintf(fd, "%s %s\n", table->name, escaped) < 0)
				return -1;
		}
	}
	return 0;
}

/* All values of one option in dst: "a b", or "none". */
static void
format_all(const struct pfk_option *o, const void *config, char *dst,
    size_t size)
{
	char buf[1024];

	dst[0] = '\0';
	for (int i = 0; format_value(o, config, i, buf, sizeof(buf)); i++) {
		if (i > 0)
			strlcat(dst, " ", size);
		strlcat(dst, buf, size);
	}
	if (dst[0] == '\0')
		strlcpy(dst, "none", size);
}

int
pfk_options_diff(const struct pfk_option *table, const void *was,
    const void *is, char *dst, size_t size)
{
	char a[1024], b[1024], item[2200];
	int n = 0;

	dst[0] = '\0';
	for (; table->name != NULL; table++) {
		if (table->flags & PFK_OPT_ARGV_ONLY)
			continue;
		format_all(table, was, a, sizeof(a));
		format_all(table, is, b, sizeof(b));
		if (strcmp(a, b) == 0)
			continue;
		snprintf(item, sizeof(item), "%s%s %s -> %s", n > 0 ? ", " : "",
		    table->name, a, b);
		n++;
		if (strlen(dst) + strlen(item) < size)
			strlcat(dst, item, size);
	}
	return n;
}
