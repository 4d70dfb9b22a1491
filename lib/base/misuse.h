/*
 * misuse.h: mistakes of the program in its use of the library.
 *
 * Each one that can be seen when it is made is logged in one line, which names
 * the call and the cure, and the call fails with nothing done.
 */
#ifndef PFK_BASE_MISUSE_H
#define PFK_BASE_MISUSE_H

#include <prefork.h>

/* Log the line and set errno.  Returns -1. */
int pfk__misuse(int error, const char *fmt, ...) PFK_PRINTF(2, 3);

/* -1 with EINVAL: the call needs a callback and was given none. */
int pfk__need_callback(const char *call, bool given);

/* -1 with EINVAL: no memory has so many bytes, as a negative length converted. */
int pfk__need_length(const char *call, size_t len);

/* -1 with EBADF: the call needs an open descriptor. */
int pfk__need_open(const char *call, int fd);

#endif
