/*
 * options.h: the option table.
 */
#ifndef CHECK_OPTIONS_H
#define CHECK_OPTIONS_H

#include "check.h"

extern const struct pfk_option check_options[];

/* The defaults, which later depend on each other: complete fills those in. */
void options_init(struct options *o);
/* -1 with err's text (PFK_ERROR_SIZE bytes). */
int options_complete(struct options *o, int n_operands, char **operands,
    char *err);
void options_free(struct options *o);

#endif
