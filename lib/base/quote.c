/*
 * quote.c: a payload for the log, as Python's repr() writes bytes.
 *
 * Layer: base.
 */
#include <prefork.h>
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
pfk_quote(char *dst, const void *buf, size_t len)
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
		snprintf(p, (size_t)(dst + PFK_QUOTE_SIZE - p),
		    "... (%zu bytes)", len);
	return dst;
}
