/*
 * utf8.h: characters of UTF-8 (RFC 3629).
 */
#ifndef PFK_BASE_UTF8_H
#define PFK_BASE_UTF8_H

#include <stddef.h>

/*
 * The length of the character at s, which is 1 for the NUL that ends a string;
 * 0: none begins there, as an overlong form, a surrogate, or one cut off.
 */
size_t pfk__utf8_length(const unsigned char *s);

#endif
