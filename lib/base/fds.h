/*
 * fds.h: what a forked child does with descriptors that are not its business.
 */
#ifndef PFK_BASE_FDS_H
#define PFK_BASE_FDS_H

#include <stddef.h>

/*
 * Close every descriptor above standard error but the n in keep, which gets
 * sorted; negative ones in it are ignored.
 */
void pfk__close_others(int *keep, size_t n);

#endif
