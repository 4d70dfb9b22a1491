/*
 * buffer.c: a queue of bytes that takes no memory while it is empty.
 *
 * Layer: base.
 */
#include "base/buffer.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_MIN 1024

static int
make_room(struct pfk__buffer *b, size_t n)
{
	size_t size = b->size > 0 ? b->size : SIZE_MIN;
	char *base;

	if (n > SIZE_MAX / 4 - b->len) {
		errno = ENOMEM;
		return -1;
	}
	if (b->offset > 0 && b->size - b->len >= n) {
		memmove(b->base, b->base + b->offset, b->len);
		b->offset = 0;
		return 0;
	}
	while (size - b->len < n || size < b->len)
		size *= 2;
	base = malloc(size);
	if (base == NULL)
		return -1;
	if (b->len > 0)
		memcpy(base, b->base + b->offset, b->len);
	free(b->base);
	b->base = base;
	b->offset = 0;
	b->size = size;
	return 0;
}

int
pfk__buffer_append(struct pfk__buffer *b, const void *src, size_t n)
{
	if (n == 0)
		return 0;
	if (b->size - b->offset - b->len < n && make_room(b, n) == -1)
		return -1;
	memcpy(b->base + b->offset + b->len, src, n);
	b->len += n;
	assert(b->offset + b->len <= b->size);
	return 0;
}

void
pfk__buffer_consume(struct pfk__buffer *b, size_t n)
{
	assert(n <= b->len);
	b->offset += n;
	b->len -= n;
	if (b->len == 0)
		pfk__buffer_clear(b);
	assert((b->base == NULL) == (b->size == 0));
}

void
pfk__buffer_clear(struct pfk__buffer *b)
{
	free(b->base);
	*b = (struct pfk__buffer){0};
}
