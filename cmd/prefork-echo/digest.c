/*
 * digest.c: a datagram's source and bytes as one number.
 *
 * A product of two words is as long as both; its halves are put together.
 */
#include "digest.h"

#include <string.h>

__extension__ typedef unsigned __int128 product;

static uint64_t
fold(uint64_t a, uint64_t b)
{
	product p = (product)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* At most 8 bytes. */
static uint64_t
word(const char *buf, size_t len)
{
	uint64_t w = 0;

	memcpy(&w, buf, len);
	return w;
}

uint64_t
digest_source(const struct digest_seed *s, const struct pfk_addr *a)
{
	uint64_t high = 0, low;

	if (a->sa.sa_family == AF_INET) {
		low = a->in4.sin_addr.s_addr;
	} else {
		memcpy(&high, &a->in6.sin6_addr.s6_addr[0], 8);
		memcpy(&low, &a->in6.sin6_addr.s6_addr[8], 8);
	}
	return fold(low ^ s->words[0],
	    fold(high ^ s->words[1], pfk_addr_port(a) ^ s->words[2]));
}

uint64_t
digest_network(const struct digest_seed *s, const struct pfk_addr *a)
{
	uint64_t bits;

	if (a->sa.sa_family == AF_INET)
		bits = word((const char *)&a->in4.sin_addr, 3);
	else
		bits = word((const char *)&a->in6.sin6_addr, 7);
	return fold(bits ^ s->words[0], a->sa.sa_family ^ s->words[1]);
}

uint64_t
digest_ends(const struct digest_seed *s, const struct pfk_packet *p)
{
	uint64_t first, second = 0, last = 0;
	const char *buf = p->buf;

	if (p->len >= 8) {
		first = word(buf, 8);
		last = word(buf + p->len - 8, 8);
		if (p->len >= 16)
			second = word(buf + 8, 8);
	} else {
		first = word(buf, p->len);
	}
	return fold(first ^ s->words[3], second ^ s->words[0]) ^
	    fold(last ^ p->len ^ s->words[1], digest_source(s, p->from));
}

uint64_t
digest_all(const struct digest_seed *s, const struct pfk_packet *p)
{
	uint64_t d = digest_ends(s, p);
	const char *buf = p->buf;
	size_t left = p->len;

	for (; left >= 16; left -= 16, buf += 16)
		d = fold(word(buf, 8) ^ d, word(buf + 8, 8) ^ s->words[2]);
	if (left >= 8)
		d = fold(word(buf, 8) ^ d, s->words[2]);
	return d;
}
