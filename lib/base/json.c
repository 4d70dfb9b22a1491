/*
 * json.c: write JSON (RFC 8259) to a stdio stream.
 *
 * Layer: base.  It keeps no stack: the caller closes each object and array that
 * it has opened.
 */
#include "base/json.h"

#include "base/utf8.h"

static void
put_string(FILE *f, const char *value)
{
	const unsigned char *s = (const unsigned char *)value;
	size_t n;

	putc('"', f);
	for (; *s != '\0'; s += n) {
		n = pfk__utf8_length(s);
		if (n == 0) {
			fputs("\\ufffd", f);
			n = 1;
		} else if (*s == '"' || *s == '\\') {
			fprintf(f, "\\%c", *s);
		} else if (*s < 0x20 || *s == 0x7f) {
			fprintf(f, "\\u%04x", *s);
		} else if (*s == 0xc2 && s[1] < 0xa0) {
			/* A terminal may obey it. */
			fprintf(f, "\\u%04x", s[1]);
		} else {
			fwrite(s, 1, n, f);
		}
	}
	putc('"', f);
}

static void
begin(struct pfk__json *j, const char *key)
{
	if (j->comma)
		fputs(", ", j->f);
	j->comma = true;
	if (key == NULL)
		return;
	put_string(j->f, key);
	fputs(": ", j->f);
}

void
pfk__json_open(struct pfk__json *j, const char *key, char bracket)
{
	begin(j, key);
	putc(bracket, j->f);
	j->comma = false;
}

void
pfk__json_close(struct pfk__json *j, char bracket)
{
	putc(bracket, j->f);
	j->comma = true;
}

void
pfk__json_string(struct pfk__json *j, const char *key, const char *value)
{
	if (value == NULL) {
		pfk__json_null(j, key);
		return;
	}
	begin(j, key);
	put_string(j->f, value);
}

void
pfk__json_int(struct pfk__json *j, const char *key, long long value)
{
	begin(j, key);
	fprintf(j->f, "%lld", value);
}

void
pfk__json_bool(struct pfk__json *j, const char *key, bool value)
{
	begin(j, key);
	fputs(value ? "true" : "false", j->f);
}

void
pfk__json_null(struct pfk__json *j, const char *key)
{
	begin(j, key);
	fputs("null", j->f);
}

void
pfk__json_seconds(struct pfk__json *j, const char *key, double value)
{
	begin(j, key);
	fprintf(j->f, "%.3f", value);
}

void
pfk__json_number(struct pfk__json *j, const char *key, double value)
{
	begin(j, key);
	fprintf(j->f, "%.9g", value);
}
