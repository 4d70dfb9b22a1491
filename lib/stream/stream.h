/*
 * stream.h: a stream's inside.
 *
 * Invariants:
 *  1. it is connecting while `connector` is set, open while `tr` is, and lost
 *     when neither is; it never has both;
 *  2. the first `held` bytes of `in` are given out; the readable bytes stand
 *     behind them.  They stay until the callback that got them has returned,
 *     and those of a result that pfk_run_until has not fetched until it has;
 *  3. a call is pending until its result is delivered, and that is done by
 *     the loop;
 *  4. the struct is freed when the handle is dropped, the transport is gone
 *     and no callback of it and no pfk_run_until is running, whichever comes
 *     last.
 */
#ifndef PFK_STREAM_STREAM_H
#define PFK_STREAM_STREAM_H

#include "base/buffer.h"
#include "event/loop.h"

struct pfk__call {
	void (*cb)(void *arg, const struct pfk_result *r); /* may be NULL */
	void *arg;
	bool pending;
};

enum pfk__read_kind { PFK__READ_SOME, PFK__READ_EXACTLY, PFK__READ_UNTIL };

/* The pending read was not answered, by bytes, or by an end or an error. */
enum pfk__answered { PFK__ANSWERED_NOT, PFK__ANSWERED_DATA, PFK__ANSWERED_END };

/* The call without callback. */
enum pfk__sync { PFK__SYNC_NONE, PFK__SYNC_PENDING, PFK__SYNC_DONE };

struct pfk_stream {
	struct pfk_loop *loop;
	struct pfk_transport *tr;
	struct pfk_connector *connector;
	struct pfk__soon soon;
	struct pfk__buffer in;
	size_t held;
	size_t scanned; /* readable bytes without `last` */
	size_t limit;
	struct pfk__call open, read, drain;
	size_t wanted;
	enum pfk__read_kind kind;
	char last;
	enum pfk__sync sync;
	struct pfk_result result; /* of that call, when done; see result_at */
	size_t result_at;         /* its bytes in `in`, which may move */
	int error;                /* why it was lost */
	bool eof : 1;             /* the peer's end, or ours at a stop */
	bool paused : 1;          /* the transport's reading, by us */
	bool full : 1;            /* pause_writing was called last */
	bool delivering : 1;
	bool running : 1; /* pfk_run_until waits */
	bool closed : 1;  /* the handle is dropped */
};

/* stream.c */
struct pfk_stream *pfk__stream_new(struct pfk_loop *l);
void pfk__stream_free(struct pfk_stream *s);
extern const struct pfk_protocol pfk__stream_protocol;

/* Note that the call of that name begins: EBUSY. */
int pfk__stream_begin(const char *name, struct pfk_stream *s,
    struct pfk__call *call, void (*cb)(void *arg, const struct pfk_result *r),
    void *arg);
/* It ends: from the loop only. */
void pfk__stream_end(struct pfk_stream *s, struct pfk__call *call,
    const struct pfk_result *r);
/* The result of the call without callback, which is done. */
struct pfk_result pfk__stream_fetch(struct pfk_stream *s);
/* Free it, if nothing needs it any more. */
void pfk__stream_release(struct pfk_stream *s);

/* reader.c: the bytes come in, and answer the pending read. */
void pfk__reader_feed(struct pfk_stream *s, const void *buf, size_t len);
enum pfk__answered pfk__reader_answer(struct pfk_stream *s);
void pfk__reader_drop_held(struct pfk_stream *s);
/* Back-pressure: pause or resume the transport as the buffer stands. */
void pfk__reader_adjust(struct pfk_stream *s);

/*
 * stream.c: answer the calls that can be answered; from the loop, or in its
 * next turn.
 */
void pfk__stream_pump(struct pfk_stream *s);
void pfk__stream_pump_soon(struct pfk_stream *s);

#endif
