/*
 * option.h: what the option parser and its printer share.
 */
#ifndef PFK_BASE_OPTION_H
#define PFK_BASE_OPTION_H

#include <stddef.h>

struct pfk_option;

size_t pfk__options_count(const struct pfk_option *table);

#endif
