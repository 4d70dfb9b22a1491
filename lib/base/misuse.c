/*
 * misuse.c: mistakes of the program in its use of the library.
 *
 * Layer: base.
 */
#include "base/misuse.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

int
pfk__misuse(int error, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pfk_log(PFK_ERROR, "misuse of libprefork: %s", text);
	errno = error;
	return -1;
}

int
pfk__need_callback(const char *call, bool given)
{
	if (given)
		return 0;
	return pfk__misuse(EINVAL, "%s: the callback is NULL", call);
}

int
pfk__need_length(const char *call, size_t len)
{
	if (len <= SSIZE_MAX)
		return 0;
	return pfk__misuse(EINVAL, "%s: %zu bytes are more than there can be",
	    call, len);
}

int
pfk__need_open(const char *call, int fd)
{
	/* Any other error may be a sandbox's. */
	if (fd >= 0 && (fcntl(fd, F_GETFD) != -1 || errno != EBADF))
		return 0;
	return pfk__misuse(EBADF, "%s: descriptor %d is not open", call, fd);
}
