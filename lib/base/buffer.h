/*
 * buffer.h: a queue of bytes that takes no memory while it is empty.
 *
 * Invariants:
 *  1. base == NULL exactly while size == 0;
 *  2. the bytes queued are base[offset] to base[offset + len - 1];
 *  3. len == 0 implies offset == 0 and no memory.
 */
#ifndef PFK_BASE_BUFFER_H
#define PFK_BASE_BUFFER_H

#include <stddef.h>

struct pfk__buffer {
	char *base;
	size_t offset;
	size_t len;
	size_t size;
};

/* Queue a copy of n bytes; -1 with ENOMEM and nothing changed. */
int pfk__buffer_append(struct pfk__buffer *b, const void *src, size_t n);

/* Drop the first n bytes, n <= len. */
void pfk__buffer_consume(struct pfk__buffer *b, size_t n);

void pfk__buffer_clear(struct pfk__buffer *b);

#endif
