/*
 * option.h: shared by the parsers of argv and file and by the printer.
 */
#ifndef PFK_BASE_OPTION_H
#define PFK_BASE_OPTION_H

#include <stdbool.h>
#include <stddef.h>

#define PFK__OPTIONS_MAX 128

struct pfk_option;

size_t pfk__options_count(const struct pfk_option *table);

/* Refuse a table with more than PFK__OPTIONS_MAX: -1 with E2BIG and a message. */
int pfk__options_fit(const struct pfk_option *table, char *err);

/* Set o's field of config; value NULL: it is only named.  -1 and *errstr. */
int pfk__option_parse(const struct pfk_option *o, void *config,
    const char *value, bool first, const char **errstr);

/* The end of a bad value's message: the bounds, where the table has them. */
const char *pfk__option_bounds(const struct pfk_option *o, char *buf,
    size_t size);

#endif
