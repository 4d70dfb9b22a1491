/*
 * reader.c: the received bytes, and the calls that read them.
 *
 * Layer: stream.  Back-pressure is asyncio's: reading stops when more than
 * twice the limit is unread, and goes on below the limit or when somebody
 * waits for more.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/misuse.h"
#include "stream/stream.h"

static size_t
unread(const struct pfk_stream *s)
{
	assert(s->held <= s->in.len);
	return s->in.len - s->held;
}

void
pfk__reader_drop_held(struct pfk_stream *s)
{
	if (s->sync == PFK__SYNC_DONE && s->result.len > 0)
		return;
	if (s->held > 0)
		pfk__buffer_consume(&s->in, s->held);
	s->held = 0;
}

static void
give(struct pfk_stream *s, size_t n, int error)
{
	struct pfk_result r = {.len = n, .error = error};

	assert(n <= unread(s));
	if (n > 0)
		r.buf = s->in.base + s->in.offset + s->held;
	s->held += n;
	s->scanned = 0;
	pfk__stream_end(s, &s->read, &r);
}

/* The length up to and with the delimiter; 0 while it has not come. */
static size_t
find_last(struct pfk_stream *s)
{
	const char *base = s->in.base, *at = NULL;
	size_t n = unread(s);

	if (n > s->scanned) {
		base += s->in.offset + s->held;
		at = memchr(base + s->scanned, s->last, n - s->scanned);
	}
	if (at != NULL)
		return (size_t)(at - base) + 1;
	s->scanned = n;
	return 0;
}

/* How much answers the read in full; 0 while that is not there. */
static size_t
full_answer(struct pfk_stream *s)
{
	size_t n = unread(s);

	switch (s->kind) {
	case PFK__READ_SOME:
		return n < s->wanted ? n : s->wanted;
	case PFK__READ_EXACTLY:
		return n >= s->wanted ? s->wanted : 0;
	case PFK__READ_UNTIL:
		return find_last(s);
	}
	return 0;
}

enum pfk__answered
pfk__reader_answer(struct pfk_stream *s)
{
	bool ended = s->eof || s->tr == NULL;
	size_t n = full_answer(s);

	if (s->kind == PFK__READ_UNTIL &&
	    (n > 0 ? n - 1 : unread(s)) > s->limit) {
		s->scanned = 0;
		give(s, 0, EMSGSIZE);
		return PFK__ANSWERED_END;
	}
	if (n > 0) {
		give(s, n, 0);
		return PFK__ANSWERED_DATA;
	}
	if (!ended)
		return PFK__ANSWERED_NOT;
	if (s->error != 0)
		give(s, unread(s), s->error);
	else
		give(s, unread(s), s->kind == PFK__READ_SOME ? 0 : ENODATA);
	return PFK__ANSWERED_END;
}

void
pfk__reader_feed(struct pfk_stream *s, const void *buf, size_t len)
{
	struct pfk_result r = {.buf = buf, .len = len};

	if (!s->delivering)
		pfk__reader_drop_held(s);
	/*
	 * Fast path: a waiting read of at least this size gets the buffer
	 * directly.
	 */
	if (s->read.pending && s->read.cb != NULL &&
	    s->kind == PFK__READ_SOME && s->in.len == 0 && len <= s->wanted &&
	    !s->delivering) {
		pfk__stream_end(s, &s->read, &r);
		return;
	}
	if (pfk__buffer_append(&s->in, buf, len) == 0)
		return;
	s->error = ENOMEM;
	pfk_abort(s->tr);
}

void
pfk__reader_adjust(struct pfk_stream *s)
{
	bool waiting;

	if (s->tr == NULL || s->eof || s->closed)
		return;
	/* A read waits only if the buffer cannot answer it. */
	waiting = s->read.pending && full_answer(s) == 0;
	if (!s->paused && !waiting && unread(s) > 2 * s->limit) {
		s->paused = true;
		pfk_pause_reading(s->tr);
	} else if (s->paused && (waiting || unread(s) <= s->limit)) {
		s->paused = false;
		pfk_resume_reading(s->tr);
	}
}

static int
begin(const char *name, struct pfk_stream *s, enum pfk__read_kind kind,
    size_t n, char last, void (*cb)(void *arg, const struct pfk_result *r),
    void *arg)
{
	if (n == 0)
		return pfk__misuse(EINVAL, "%s: 0 bytes; it is 1 at least",
		    name);
	if (s->connector != NULL) {
		errno = ENOTCONN;
		return -1;
	}
	if (pfk__stream_begin(name, s, &s->read, cb, arg) == -1)
		return -1;
	if (!s->delivering)
		pfk__reader_drop_held(s);
	s->kind = kind;
	s->wanted = n;
	s->last = last;
	s->scanned = 0;
	pfk__stream_pump_soon(s);
	return 0;
}

int
pfk_read(struct pfk_stream *s, size_t max,
    void (*cb)(void *arg, const struct pfk_result *r), void *arg)
{
	return begin("pfk_read", s, PFK__READ_SOME, max, 0, cb, arg);
}

int
pfk_read_exactly(struct pfk_stream *s, size_t n,
    void (*cb)(void *arg, const struct pfk_result *r), void *arg)
{
	return begin("pfk_read_exactly", s, PFK__READ_EXACTLY, n, 0, cb, arg);
}

int
pfk_read_until(struct pfk_stream *s, char last,
    void (*cb)(void *arg, const struct pfk_result *r), void *arg)
{
	return begin("pfk_read_until", s, PFK__READ_UNTIL, SIZE_MAX, last, cb,
	    arg);
}

bool
pfk_stream_at_eof(const struct pfk_stream *s)
{
	return unread(s) == 0 && s->connector == NULL &&
	    (s->eof || s->tr == NULL);
}
