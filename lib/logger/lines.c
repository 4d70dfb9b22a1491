/*
 * lines.c: a small state machine over bytes.
 *
 * Layer: logger.
 */
#include "logger/lines.h"

#include <limits.h>
#include <string.h>

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The value of n hexadecimal digits; false: they are none. */
static bool
take_hex(const char *text, int n, uint64_t *value)
{
	*value = 0;
	for (int i = 0; i < n; i++) {
		int d = digit(text[i]);

		if (d == -1)
			return false;
		*value = *value << 4 | (uint64_t)d;
	}
	return true;
}

/* `text` is a relayed line from its level on; false: it is malformed. */
static bool
take_relayed(const char *text, pfk__lines_cb *cb, void *arg)
{
	const char *start = text - 1;
	struct pfk__relayed line;
	uint64_t pid;

	if (text[0] < '0' || text[0] > '0' + PFK_DEBUG || text[1] == '\0' ||
	    !take_hex(start + PFK__RELAY_PID, PFK__RELAY_PID_DIGITS, &pid) ||
	    !take_hex(start + PFK__RELAY_TIME, PFK__RELAY_TIME_DIGITS,
		&line.time_ns))
		return false;
	line.level = (enum pfk_level)(text[0] - '0');
	line.keeper = text[1] == PFK__RELAY_KEEPER;
	line.pid = pid <= INT_MAX ? (int)pid : 0;
	line.message = start + PFK__RELAY_HEAD;
	cb(arg, &line);
	return true;
}

/* One whole line. */
static void
emit(bool relayed, const char *text, pfk__lines_cb *cb, void *arg)
{
	struct pfk__relayed line = {.level = PFK_ERROR, .message = text};

	if (relayed && take_relayed(text, cb, arg))
		return;
	if (text[0] != '\0')
		cb(arg, &line);
}

/* The line that has been collected ends here. */
static void
finish(struct pfk__lines *r, pfk__lines_cb *cb, void *arg)
{
	r->buf[r->len] = '\0';
	emit(r->relayed, r->buf, cb, arg);
	r->len = 0;
	r->relayed = false;
}

/* Where in data[0..n) the line ends, or n. */
static size_t
find_end(bool relayed, const char *data, size_t n)
{
	size_t i;

	if (relayed) {
		const char *end = memchr(data, '\0', n);

		return end != NULL ? (size_t)(end - data) : n;
	}
	for (i = 0; i < n; i++) {
		if (data[i] == '\n' || data[i] == '\0' ||
		    data[i] == PFK__RELAY_START)
			break;
	}
	return i;
}

static void
collect(struct pfk__lines *r, const char *data, size_t n, pfk__lines_cb *cb,
    void *arg)
{
	while (n > 0) {
		size_t room = sizeof(r->buf) - 1 - r->len;
		size_t some = n < room ? n : room;

		memcpy(r->buf + r->len, data, some);
		r->len += some;
		data += some;
		n -= some;
		/* Longer than a line may be: the rest is more lines. */
		if (r->len == sizeof(r->buf) - 1)
			finish(r, cb, arg);
	}
}

void
pfk__lines_feed(struct pfk__lines *r, const char *data, size_t n,
    pfk__lines_cb *cb, void *arg)
{
	while (n > 0) {
		size_t len;

		if (!r->relayed && data[0] == PFK__RELAY_START) {
			finish(r, cb, arg);
			r->relayed = true;
			data++;
			n--;
			continue;
		}
		len = find_end(r->relayed, data, n);
		collect(r, data, len, cb, arg);
		data += len;
		n -= len;
		if (n == 0 || data[0] == PFK__RELAY_START)
			continue;
		finish(r, cb, arg);
		data++;
		n--;
	}
}

void
pfk__lines_end(struct pfk__lines *r, pfk__lines_cb *cb, void *arg)
{
	if (r->len > 0 || r->relayed)
		finish(r, cb, arg);
}
