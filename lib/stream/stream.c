/*
 * stream.c: a stream's life: its protocol, its calls, its writer, its end.
 *
 * Layer: stream.  asyncio's StreamReaderProtocol.
 */
#include "stream/stream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/misuse.h"
#include "transport/cork.h"
#include "transport/join.h"

/* So many calls of pfk_stream_drain end at once between two reads. */
#define DRAINS_MAX 16

struct pfk_stream *
pfk__stream_new(struct pfk_loop *l)
{
	struct pfk_stream *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->loop = l;
	s->limit = PFK_STREAM_LIMIT;
	return s;
}

void
pfk__stream_free(struct pfk_stream *s)
{
	assert(s->tr == NULL && s->connector == NULL);
	assert(!s->delivering && !s->running);
	pfk__soon_cancel(s->loop, &s->soon);
	pfk__buffer_clear(&s->in);
	free(s);
}

void
pfk__stream_release(struct pfk_stream *s)
{
	if (s->closed && s->tr == NULL && !s->delivering && !s->running)
		pfk__stream_free(s);
}

/* calls */

int
pfk__stream_begin(const char *name, struct pfk_stream *s,
    struct pfk__call *call, void (*cb)(void *arg, const struct pfk_result *r),
    void *arg)
{
	if (call->pending)
		return pfk__misuse(EBUSY,
		    "%s: one is pending; wait for its result", name);
	if (cb == NULL && s->sync == PFK__SYNC_PENDING)
		return pfk__misuse(EBUSY,
		    "%s: another call without a callback is pending; fetch its "
		    "result by pfk_run_until",
		    name);
	if (cb == NULL)
		s->sync = PFK__SYNC_PENDING;
	*call = (struct pfk__call){.cb = cb, .arg = arg, .pending = true};
	return 0;
}

void
pfk__stream_end(struct pfk_stream *s, struct pfk__call *call,
    const struct pfk_result *r)
{
	struct pfk__call ended = *call;

	assert(call->pending && !s->delivering);
	call->pending = false;
	if (ended.cb == NULL) {
		s->result = *r;
		if (r->len > 0)
			s->result_at = (size_t)((const char *)r->buf -
			    (s->in.base + s->in.offset));
		s->sync = PFK__SYNC_DONE;
		if (s->running)
			pfk_loop_stop(s->loop);
		return;
	}
	s->delivering = true;
	ended.cb(ended.arg, r);
	s->delivering = false;
	pfk__reader_drop_held(s);
}

struct pfk_result
pfk__stream_fetch(struct pfk_stream *s)
{
	struct pfk_result r = s->result;

	assert(s->sync == PFK__SYNC_DONE);
	assert(r.len == 0 || s->result_at + r.len <= s->in.len);
	if (r.len > 0)
		r.buf = s->in.base + s->in.offset + s->result_at;
	s->sync = PFK__SYNC_NONE;
	return r;
}

/* More is unsent than the high mark; that may not have been told yet. */
static bool
is_full(const struct pfk_stream *s)
{
	struct pfk_transport *tr = s->tr;

	if (tr->corked && s->loop->cork_len > tr->high)
		pfk__tcp_uncork(tr);
	return s->full || (!tr->corked && pfk__unsent(tr) > tr->high);
}

/* Whether it has ended. */
static bool
answer_drain(struct pfk_stream *s)
{
	struct pfk_result r = {0};

	if (s->tr == NULL)
		r.error = s->error != 0 ? s->error : ECONNRESET;
	else if (is_full(s))
		return false;
	pfk__stream_end(s, &s->drain, &r);
	return true;
}

void
pfk__stream_pump(struct pfk_stream *s)
{
	enum pfk__answered read = PFK__ANSWERED_DATA;
	int drains = 0;
	bool again;

	if (s->delivering)
		return;
	/*
	 * All that can be answered now, because then the writes of all callbacks
	 * leave together.  But an end only once, and no more than a few drains
	 * for a read: some never stop, and others wait.
	 */
	do {
		again = false;
		if (s->read.pending && read == PFK__ANSWERED_DATA) {
			read = pfk__reader_answer(s);
			again = read == PFK__ANSWERED_DATA;
			drains = again ? 0 : drains;
		}
		if (s->drain.pending && drains++ < DRAINS_MAX &&
		    answer_drain(s))
			again = true;
	} while (again);
	/* The calls that callbacks have begun are answered, or wait. */
	if (read != PFK__ANSWERED_END && drains < DRAINS_MAX &&
	    (!s->drain.pending || s->full))
		pfk__soon_cancel(s->loop, &s->soon);
	pfk__reader_adjust(s);
	pfk__stream_release(s);
}

static void
on_soon(void *arg)
{
	pfk__stream_pump(arg);
}

void
pfk__stream_pump_soon(struct pfk_stream *s)
{
	pfk__soon_add(s->loop, &s->soon, on_soon, s);
}

/* the protocol; self is the stream */

static void
data_received(void *self, const void *buf, size_t len)
{
	struct pfk_stream *s = self;

	if (s->closed)
		return;
	pfk__reader_feed(s, buf, len);
	pfk__stream_pump(s);
}

static bool
eof_received(void *self)
{
	struct pfk_stream *s = self;

	s->eof = true;
	pfk__stream_pump(s);
	return true;
}

static void
pause_writing(void *self)
{
	struct pfk_stream *s = self;

	s->full = true;
}

static void
resume_writing(void *self)
{
	struct pfk_stream *s = self;

	s->full = false;
	pfk__stream_pump(s);
}

/* The process is about to stop: let the reader come to its end. */
static void
draining(void *self)
{
	struct pfk_stream *s = self;

	s->eof = true;
	pfk_pause_reading(s->tr);
	pfk__stream_pump(s);
}

static void
connection_lost(void *self, int error)
{
	struct pfk_stream *s = self;

	s->tr = NULL;
	if (s->error == 0)
		s->error = error;
	pfk__stream_pump(s);
}

const struct pfk_protocol pfk__stream_protocol = {
    .data_received = data_received,
    .eof_received = eof_received,
    .pause_writing = pause_writing,
    .resume_writing = resume_writing,
    .draining = draining,
    .connection_lost = connection_lost,
};

/* the writer */

int
pfk_stream_write(struct pfk_stream *s, const void *buf, size_t len)
{
	if (s->tr == NULL) {
		errno = s->connector != NULL ? ENOTCONN : EPIPE;
		return -1;
	}
	if (pfk__need_length("pfk_stream_write", len) == -1)
		return -1;
	return pfk_write(s->tr, buf, len);
}

int
pfk_stream_drain(struct pfk_stream *s,
    void (*cb)(void *arg, const struct pfk_result *r), void *arg)
{
	if (s->connector != NULL) {
		errno = ENOTCONN;
		return -1;
	}
	if (pfk__stream_begin("pfk_stream_drain", s, &s->drain, cb, arg) == -1)
		return -1;
	/* Soon, and so after the pause that a write before may have queued. */
	pfk__stream_pump_soon(s);
	return 0;
}

void
pfk_stream_write_eof(struct pfk_stream *s)
{
	if (s->tr != NULL)
		pfk_write_eof(s->tr);
}

/* the handle */

int
pfk_stream_set_limit(struct pfk_stream *s, size_t limit)
{
	if (limit == 0 || limit > SIZE_MAX / 4)
		return pfk__misuse(EINVAL,
		    "pfk_stream_set_limit: %zu; it is 1 to %zu", limit,
		    SIZE_MAX / 4);
	s->limit = limit;
	return 0;
}

struct pfk_transport *
pfk_stream_transport(const struct pfk_stream *s)
{
	return s->tr;
}

static void
end_stream(struct pfk_stream **sp, void (*end)(struct pfk_transport *tr))
{
	struct pfk_stream *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	s->closed = true;
	s->sync = PFK__SYNC_NONE;
	if (s->running)
		pfk_loop_stop(s->loop);
	s->open.pending = s->read.pending = s->drain.pending = false;
	pfk__soon_cancel(s->loop, &s->soon);
	pfk_connect_cancel(&s->connector);
	if (s->tr != NULL)
		end(s->tr);
	pfk__stream_release(s);
}

void
pfk_stream_close(struct pfk_stream **s)
{
	end_stream(s, pfk_close);
}

void
pfk_stream_abort(struct pfk_stream **s)
{
	end_stream(s, pfk_abort);
}
