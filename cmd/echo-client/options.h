/*
 * options.h: the option table.
 */
#ifndef CLIENT_OPTIONS_H
#define CLIENT_OPTIONS_H

#include "client.h"

extern const struct pfk_option client_options[];

void options_init(struct options *o);
/* -1 with err's text (PFK_ERROR_SIZE bytes). */
int options_complete(struct options *o, int n_operands, char *const *operands,
    char *err);

#endif
