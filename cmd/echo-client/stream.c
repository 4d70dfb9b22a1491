/*
 * stream.c: --api stream: a reader and a writer.
 */
#include <errno.h>
#include <string.h>

#include "../shared/quote.h"
#include "client.h"

#define READ_BYTES 1024

static struct {
	struct pfk_stream *s;
	bool draining;
} session;

static void
on_drained(void *arg, const struct pfk_result *r)
{
	struct client *c = arg;

	session.draining = false;
	/* Why it is lost, the reader tells. */
	if (r->error == 0)
		c->o.mode->pump(c);
}

static void
pump(struct client *c)
{
	const void *buf;
	size_t len;

	if (session.s == NULL || session.draining)
		return;
	buf = transfer_next(c, &len);
	if (buf != NULL) {
		if (pfk_stream_write(session.s, buf, len) == -1)
			return;
		transfer_sent(c, buf, len);
		session.draining = pfk_stream_drain(session.s, on_drained, c) ==
		    0;
	} else if (transfer_finish(c)) {
		pfk_stream_write_eof(session.s);
	}
}

static size_t
read_size(const struct client *c)
{
	return c->o.input ? CHUNK_BYTES : READ_BYTES;
}

static void
on_read(void *arg, const struct pfk_result *r)
{
	struct client *c = arg;

	if (r->error != 0 || r->len == 0) {
		transfer_ended(c, r->error);
		return;
	}
	transfer_received(c, r->buf, r->len);
	if (!c->over)
		pfk_read(session.s, read_size(c), on_read, c);
}

static void
start(struct client *c)
{
	const struct pfk_transport *tr;
	struct pfk_result r;
	char name[PFK_ADDR_SIZE];

	session.draining = false;
	transfer_first(c);
	session.s = pfk_stream_open(c->loop, &c->connect, NULL, NULL);
	if (session.s == NULL ||
	    pfk_run_until(c->loop, session.s, UINT64_MAX, &r) == -1) {
		client_not_connected(c, errno, NULL);
		return;
	}
	if (r.error != 0) {
		client_not_connected(c, r.error, r.buf);
		return;
	}
	/* It may be lost already; then the first read tells why. */
	tr = pfk_stream_transport(session.s);
	if (tr != NULL) {
		pfk_log(PFK_INFO, "connected to %s",
		    quote_addr(name, pfk_peername(tr)));
		log_transport(&c->o, tr);
	}
	transfer_first_sent(c);
	pfk_read(session.s, read_size(c), on_read, c);
	pump(c);
}

static void
stop(struct client *c)
{
	(void)c;
	pfk_stream_close(&session.s);
}

const struct mode stream_mode = {"stream", start, pump, stop};
