/*
 * outlet.c: batches of whole lines, and faults of the target.
 *
 * Layer: logger.
 */
#include "logger/outlet.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RETRY_MIN_MS 50
#define RETRY_MAX_MS 1000

/* A process that was killed has written half a line: end it. */
static void
end_torn(struct pfk__outlet *o)
{
	if (!pfk__sink_is_torn(o->sink))
		return;
	if (o->start == 0) {
		memmove(o->buf + 1, o->buf, o->len);
		o->len++;
		o->start++;
	}
	o->buf[--o->start] = '\n';
	o->line = o->start;
}

void
pfk__outlet_init(struct pfk__outlet *o, struct pfk__sink *sink)
{
	o->sink = sink;
	end_torn(o);
	o->style = pfk__log_style(sink);
	o->retry_ms = RETRY_MIN_MS;
}

void
pfk__outlet_move(struct pfk__outlet *o, int fd)
{
	/*
	 * The old file gets the bytes that it takes now, and the new one begins
	 * with a whole line.
	 */
	pfk__outlet_write(o);
	o->start = o->line;
	pfk__sink_take(o->sink, fd);
	end_torn(o);
	o->style = pfk__log_style(o->sink);
	if (dup2(fd, STDERR_FILENO) == -1)
		o->last_error = errno;
	pfk__outlet_write(o);
}

bool
pfk__outlet_has_room(const struct pfk__outlet *o)
{
	return o->len <= PFK__OUTLET_BYTES - 4 * PFK__LINE_MAX;
}

void
pfk__outlet_put(struct pfk__outlet *o, const struct pfk__line *line)
{
	if (o->len <= PFK__OUTLET_BYTES - PFK__LINE_MAX)
		o->len += pfk__line_format(o->buf + o->len, &o->style, line);
}

/* A refusal is over: the log says how long it was. */
static void
recovered(struct pfk__outlet *o)
{
	char text[160];
	struct pfk__line line = {.level = PFK_WARNING,
	    .process = pfk__log_process(),
	    .pid = (int)getpid(),
	    .time_ms = pfk__log_clock_ns(CLOCK_REALTIME) / PFK_MSEC_NS,
	    .message = text};

	snprintf(text, sizeof(text),
	    "the log could not be written for %.1f s: %s; its lines were kept "
	    "or counted",
	    (double)(pfk__log_clock_ns(CLOCK_MONOTONIC) - o->since_ns) / 1e9,
	    strerror(o->error));
	o->error = 0;
	o->told = false;
	pfk__outlet_put(o, &line);
}

static void
refused(struct pfk__outlet *o, int error)
{
	if (error == EAGAIN)
		error = 0;
	if (error != 0 && o->error == 0)
		o->since_ns = pfk__log_clock_ns(CLOCK_MONOTONIC);
	/* A fault stays one until a line has been written again. */
	if (error != 0)
		o->error = error;
	o->last_error = o->error;
	o->blocked = true;
}

/* As many whole lines as one write may have, or the rest of one. */
static size_t
next_batch(struct pfk__outlet *o)
{
	size_t n = o->len - o->start, max = pfk__sink_batch(o->sink);
	const char *from = o->buf + o->start, *end;

	if (n <= max)
		return n;
	end = max > 1 ? memrchr(from, '\n', max) : NULL;
	if (end == NULL)
		end = memchr(from, '\n', n);
	return (size_t)(end - from) + 1;
}

static void
advance(struct pfk__outlet *o, size_t n)
{
	const char *last = memrchr(o->buf + o->start, '\n', n);

	if (last != NULL)
		o->line = (size_t)(last - o->buf) + 1;
	o->start += n;
	if (o->start == o->len)
		o->start = o->len = o->line = 0;
}

bool
pfk__outlet_write(struct pfk__outlet *o)
{
	while (o->start < o->len) {
		size_t n = next_batch(o);
		ssize_t done = pfk__sink_write(o->sink, o->buf + o->start, n);

		if (done == -1 && errno == EINTR)
			continue;
		if (done == -1 && errno == EMSGSIZE)
			done = (ssize_t)n; /* no daemon takes such a line */
		if (done <= 0) {
			refused(o, done == -1 ? errno : ENOSPC);
			break;
		}
		advance(o, (size_t)done);
		o->blocked = false;
		o->retry_ms = RETRY_MIN_MS;
		if ((size_t)done == n && o->error != 0)
			recovered(o);
	}
	/* Room at the end for more lines. */
	if (o->line > 0 && !pfk__outlet_has_room(o)) {
		memmove(o->buf, o->buf + o->line, o->len - o->line);
		o->len -= o->line;
		o->start -= o->line;
		o->line = 0;
	}
	if (o->start == o->len)
		o->blocked = false;
	return o->start == o->len;
}

bool
pfk__outlet_is_blocked(const struct pfk__outlet *o)
{
	return o->blocked;
}

int
pfk__outlet_error(const struct pfk__outlet *o)
{
	return o->blocked ? o->error : 0;
}

int
pfk__outlet_new_trouble(struct pfk__outlet *o)
{
	if (o->told || o->error == 0)
		return 0;
	o->told = true;
	return o->error;
}

const char *
pfk__outlet_cause(const struct pfk__outlet *o)
{
	return o->last_error != 0 ? strerror(o->last_error) : "reader too slow";
}

int
pfk__outlet_fd(const struct pfk__outlet *o)
{
	return o->error == 0 ? o->sink->fd : -1;
}

int
pfk__outlet_retry_ms(struct pfk__outlet *o)
{
	int ms = o->retry_ms;

	o->retry_ms = ms * 2 < RETRY_MAX_MS ? ms * 2 : RETRY_MAX_MS;
	return ms;
}

int
pfk__outlet_target(const struct pfk__outlet *o)
{
	return o->style.syslog ? -1 : o->sink->fd;
}
