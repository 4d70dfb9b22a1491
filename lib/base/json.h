/*
 * json.h: write JSON: the commas, and strings of any bytes.
 */
#ifndef PFK_BASE_JSON_H
#define PFK_BASE_JSON_H

#include <stdbool.h>
#include <stdio.h>

struct pfk__json {
	FILE *f;
	bool comma; /* a value stands before the next one */
};

/* Begin and end an object, "{}", or an array, "[]". key NULL: it has none. */
void pfk__json_open(struct pfk__json *j, const char *key, char bracket);
void pfk__json_close(struct pfk__json *j, char bracket);

/* A value NULL is null.  Bytes that are not UTF-8 become U+FFFD. */
void pfk__json_string(struct pfk__json *j, const char *key, const char *value);
void pfk__json_int(struct pfk__json *j, const char *key, long long value);
void pfk__json_bool(struct pfk__json *j, const char *key, bool value);
void pfk__json_null(struct pfk__json *j, const char *key);

/* With three digits after the point. */
void pfk__json_seconds(struct pfk__json *j, const char *key, double value);
/* With nine digits at most; it is finite. */
void pfk__json_number(struct pfk__json *j, const char *key, double value);

#endif
