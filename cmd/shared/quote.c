/*
 * quote.c: payloads and peers for the log of the echo programs, as Python's
 * repr() writes bytes and addresses.
 */
#include "quote.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_MAX 64

static char *
quote_byte(char *p, unsigned char c, char quote)
{
	static const char hex[] = "0123456789abcdef";
	static const char named[] = "\t\n\r\\";
	static const char letters[] = "tnr\\";
	const char *at = c == '\0' ? NULL : strchr(named, c);

	if (at != NULL || c == (unsigned char)quote) {
		*p++ = '\\';
		*p++ = at != NULL ? letters[at - named] : quote;
	} else if (c >= 0x20 && c < 0x7f) {
		*p++ = (char)c;
	} else {
		*p++ = '\\';
		*p++ = 'x';
		*p++ = hex[c >> 4];
		*p++ = hex[c & 15];
	}
	return p;
}

const char *
quote_bytes(char *dst, const void *buf, size_t len)
{
	const unsigned char *src = buf;
	size_t shown = len > SHOWN_MAX ? SHOWN_MAX : len;
	char quote = '\'';
	char *p = dst;

	/* Python changes the quotes rather than escape one. */
	if (shown > 0 && memchr(src, '\'', shown) != NULL &&
	    memchr(src, '"', shown) == NULL)
		quote = '"';
	*p++ = 'b';
	*p++ = quote;
	for (size_t i = 0; i < shown; i++)
		p = quote_byte(p, src[i], quote);
	*p++ = quote;
	*p = '\0';
	if (shown < len)
		snprintf(p, (size_t)(dst + QUOTE_SIZE - p), "... (%zu bytes)",
		    len);
	return dst;
}

const char *
quote_addr(char *dst, const struct pfk_addr *a)
{
	char host[INET6_ADDRSTRLEN];

	if (a->sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a->in4.sin_addr, host, sizeof(host));
		snprintf(dst, PFK_ADDR_SIZE, "('%s', %u)", host,
		    pfk_addr_port(a));
		return dst;
	}
	if (a->sa.sa_family != AF_INET6)
		return pfk_addr_format(dst, a);
	inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof(host));
	snprintf(dst, PFK_ADDR_SIZE, "('%s', %u, %u, %u)", host,
	    pfk_addr_port(a), ntohl(a->in6.sin6_flowinfo),
	    a->in6.sin6_scope_id);
	return dst;
}
