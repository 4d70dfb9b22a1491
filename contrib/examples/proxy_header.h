/*
 * proxy_header.h: the header of the PROXY protocol, version 2 (haproxy.org), which tells
 * a server the addresses of the connection that a proxy forwards.
 */
#include <prefork.h>
#include <string.h>

#define HEADER 16       /* before the addresses */
#define HEADER_MAX 2048 /* with addresses, and more that is skipped */
#define NO_HEADER SIZE_MAX

static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";

enum { LOCAL = 0x20, PROXY = 0x21, TCP4 = 0x11, TCP6 = 0x21 };

/* The number of bytes behind the first HEADER ones. */
static size_t
header_rest(const uint8_t *h)
{
	size_t n = (size_t)h[14] << 8 | h[15];

	if (memcmp(h, signature, sizeof(signature)) != 0 ||
	    (h[12] != LOCAL && h[12] != PROXY) || n > HEADER_MAX - HEADER)
		return NO_HEADER;
	return n;
}

static void
set_addr(struct pfk_addr *a, int family, const uint8_t *ip, const uint8_t *port)
{
	memset(a, 0, sizeof(*a));
	a->sa.sa_family = (sa_family_t)family;
	if (family == AF_INET) {
		a->len = sizeof(a->in4);
		memcpy(&a->in4.sin_addr, ip, 4);
		memcpy(&a->in4.sin_port, port, 2);
	} else {
		a->len = sizeof(a->in6);
		memcpy(&a->in6.sin6_addr, ip, 16);
		memcpy(&a->in6.sin6_port, port, 2);
	}
}

/* The addresses of a header h with len bytes in all; -1: it is cut short. */
static int
header_parse(const uint8_t *h, size_t len, struct pfk_addr *from,
    struct pfk_addr *to)
{
	size_t ip = h[13] == TCP4 ? 4 : 16;
	const uint8_t *a = h + HEADER;

	/* A health check of a proxy before us, or a socket of another kind. */
	if (h[12] == LOCAL || (h[13] != TCP4 && h[13] != TCP6))
		return 0;
	if (len < HEADER + 2 * ip + 4)
		return -1;
	set_addr(from, ip == 4 ? AF_INET : AF_INET6, a, a + 2 * ip);
	set_addr(to, ip == 4 ? AF_INET : AF_INET6, a + ip, a + 2 * ip + 2);
	return 0;
}

static uint8_t *
put(uint8_t *p, const void *bytes, size_t n)
{
	memcpy(p, bytes, n);
	return p + n;
}

/* Writes a header to h; without addresses of one family it is LOCAL. */
static size_t
header_format(uint8_t *h, const struct pfk_addr *from,
    const struct pfk_addr *to)
{
	uint8_t *p = put(h, signature, sizeof(signature)) + 4;

	h[12] = PROXY;
	if (from == NULL || from->sa.sa_family != to->sa.sa_family) {
		h[12] = LOCAL;
		h[13] = 0;
	} else if (from->sa.sa_family == AF_INET) {
		h[13] = TCP4;
		p = put(p, &from->in4.sin_addr, 4);
		p = put(p, &to->in4.sin_addr, 4);
		p = put(p, &from->in4.sin_port, 2);
		p = put(p, &to->in4.sin_port, 2);
	} else {
		h[13] = TCP6;
		p = put(p, &from->in6.sin6_addr, 16);
		p = put(p, &to->in6.sin6_addr, 16);
		p = put(p, &from->in6.sin6_port, 2);
		p = put(p, &to->in6.sin6_port, 2);
	}
	h[14] = 0;
	h[15] = (uint8_t)(p - h - HEADER);
	return (size_t)(p - h);
}
