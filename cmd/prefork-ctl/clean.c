/*
 * clean.c: make an answer harmless for a terminal.  Another program may listen at the
 * socket, and the service passes on texts of its workers.
 */
#include "ctl.h"

/* The number of bytes that follow the first one of a character of UTF-8. */
static size_t
following(unsigned char c)
{
	return c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc2 ? 1 : 0;
}

void
clean(char *text, size_t len)
{
	size_t left = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		bool inside = (c & 0xc0) == 0x80 && left > 0;
		/* C2 80 to C2 9F are controls beyond ASCII. */
		bool beyond = inside && c < 0xa0 && text[i - 1] == '\xc2';

		left = inside ? left - 1 : following(c);
		if (beyond)
			text[i - 1] = '?';
		if (beyond || c == 0x7f ||
		    (c < 0x20 && c != '\n' && c != '\t') ||
		    ((c & 0xc0) == 0x80 && !inside))
			text[i] = '?';
	}
}
