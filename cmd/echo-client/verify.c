/*
 * verify.c: compare a stream with itself without keeping it.
 *
 * Of the bytes on the way it keeps only a checksum (FNV-1a) for each block: 8
 * bytes for 64 KiB.
 */
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define BLOCK_BYTES 65536
#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

/* Add up to the block's end; how much that was. */
static size_t
sum(uint64_t *value, size_t *filled, const unsigned char *p, size_t len)
{
	size_t n = BLOCK_BYTES - *filled < len ? BLOCK_BYTES - *filled : len;

	if (*filled == 0)
		*value = FNV_BASIS;
	for (size_t i = 0; i < n; i++)
		*value = (*value ^ p[i]) * FNV_PRIME;
	*filled += n;
	return n;
}

static int
push(struct verify *v)
{
	if (v->head > 0 && v->head + v->len == v->size) {
		memmove(v->sums, v->sums + v->head, v->len * sizeof(*v->sums));
		v->head = 0;
	}
	if (v->len == v->size) {
		size_t size = v->size > 0 ? 2 * v->size : 64;
		uint64_t *sums = reallocarray(v->sums, size, sizeof(*sums));

		if (sums == NULL)
			return -1;
		v->sums = sums;
		v->size = size;
	}
	v->sums[v->head + v->len++] = v->sent_sum;
	return 0;
}

int
verify_sent(struct verify *v, const void *buf, size_t len)
{
	const unsigned char *p = buf;

	while (len > 0) {
		size_t n = sum(&v->sent_sum, &v->sent_len, p, len);

		p += n;
		len -= n;
		if (v->sent_len < BLOCK_BYTES)
			continue;
		if (push(v) == -1)
			return -1;
		v->sent_len = 0;
	}
	return 0;
}

bool
verify_got(struct verify *v, const void *buf, size_t len)
{
	const unsigned char *p = buf;

	while (len > 0) {
		size_t n = sum(&v->got_sum, &v->got_len, p, len);

		p += n;
		len -= n;
		if (v->got_len < BLOCK_BYTES)
			continue;
		v->got_len = 0;
		if (v->len == 0 || v->sums[v->head] != v->got_sum)
			return false;
		v->head++;
		v->len--;
	}
	return true;
}

bool
verify_end(const struct verify *v)
{
	return v->sent_len == v->got_len &&
	    (v->sent_len == 0 || v->sent_sum == v->got_sum);
}

void
verify_free(struct verify *v)
{
	free(v->sums);
	*v = (struct verify){0};
}
