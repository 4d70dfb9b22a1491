/*
 * name.h: the name of a service, which is that of its socket and lock.
 */
#ifndef PFK_PROCESS_NAME_H
#define PFK_PROCESS_NAME_H

#include <stddef.h>

struct pfk_master_config;

/*
 * The name that the configuration gives, or else program and first address, and
 * the pid where that is not unique.  It has at most max bytes, at least 24, is a
 * file's name anywhere, and different texts have different names.
 */
void pfk__name_make(char *dst, size_t max,
    const struct pfk_master_config *config);

#endif
