/*
 * run.c: the result of pfk_run_until stays whole, even if callbacks read before
 * it is fetched, and the stream stays in memory.  Each case runs on each
 * back-end.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "event/loop.h"
#include "tap.h"
#include "unit.h"

static const char *backend;
static struct pfk_loop *loop;
static struct pfk_server *server;
static struct pfk_stream *stream;
static int peer, connections, drained, got;
static size_t got_len;

static void
connected(struct pfk_stream *s, void *arg)
{
	(void)arg;
	stream = s;
	connections++;
}

static void
begin(void)
{
	struct pfk_addr addr;

	connections = drained = got = 0;
	loop = pfk_loop_new(backend);
	server = pfk_stream_serve(loop, unit_listen(&addr), connected, NULL,
	    NULL);
	peer = unit_connect(&addr);
	unit_run_until(loop, &connections, 1);
}

static void
end(const char *name)
{
	close(peer);
	pfk_stream_close(&stream);
	pfk_server_close(&server);
	is_int(pfk_loop_run(loop), 0, "%s: %s: the loop ends", backend, name);
	pfk_loop_free(loop);
}

static int
run(struct pfk_result *r)
{
	memset(r, 0, sizeof(*r));
	return pfk_run_until(loop, stream,
		   pfk_loop_now(loop) + 5 * PFK_SECOND_NS, r) == 0
	    ? 0
	    : errno;
}

static void
is_bytes(const struct pfk_result *r, const char *text, const char *name)
{
	char copy[64] = "";

	memcpy(copy, r->buf != NULL ? r->buf : "",
	    r->len < sizeof(copy) ? r->len : 0);
	is_str(copy, text, "%s: %s", backend, name);
}

static void
on_drained(void *arg, const struct pfk_result *r)
{
	(void)arg;
	(void)r;
	drained++;
}

static void
on_read(void *arg, const struct pfk_result *r)
{
	(void)arg;
	got++;
	got_len = r->len;
}

/* Both end in one round: the second one's end drops the bytes given out. */
static void
test_drain(void)
{
	struct pfk_result r;

	begin();
	unit_write(peer, "abcd0123456789ABCDEFGHIJ", 24);
	pfk_read(stream, 4, NULL, NULL);
	is_int(run(&r), 0, "%s: the first part", backend);
	pfk_read(stream, 20, NULL, NULL);
	pfk_stream_drain(stream, on_drained, NULL);
	is_int(run(&r), 0, "%s: the rest", backend);
	is_int(drained, 1, "%s: a drain ends in the same round", backend);
	is_bytes(&r, "0123456789ABCDEFGHIJ", "the result is whole");
	end("drain");
}

static void
read_more(void *arg)
{
	(void)arg;
	pfk_read(stream, 1 << 20, on_read, NULL);
}

/* A callback of the same turn reads on, which drops the bytes given out. */
static void
test_read(void)
{
	struct pfk_result r;

	begin();
	unit_write(peer, "abcdefghijklmnopqrst", 20);
	pfk_read(stream, 20, NULL, NULL);
	pfk_later(loop, 0, read_more, NULL);
	is_int(run(&r), 0, "%s: a read", backend);
	is_bytes(&r, "abcdefghijklmnopqrst",
	    "the result is whole when another read has begun");
	end("read");
}

/* Bytes that come behind a result that is not fetched yet move it. */
static void
test_move(void)
{
	static char much[100000];
	struct pfk_result r;

	begin();
	unit_write(peer, "abcdefghijklmnopqrst", 20);
	pfk_read(stream, 20, NULL, NULL);
	unit_settle(loop);
	is_int(pfk_read_exactly(stream, sizeof(much), on_read, NULL), 0,
	    "%s: another read, as the first one has ended", backend);
	unit_write(peer, much, sizeof(much));
	unit_run_until(loop, &got, 1);
	is_int(got_len, sizeof(much), "%s: it gets its own bytes", backend);
	is_int(run(&r), 0, "%s: then the first one is fetched", backend);
	is_bytes(&r, "abcdefghijklmnopqrst", "its result has moved");
	end("move");
}

static void
close_stream(void *arg)
{
	(void)arg;
	pfk_stream_abort(&stream);
}

static void
test_close(void)
{
	struct pfk_result r;

	begin();
	pfk_read(stream, 20, NULL, NULL);
	pfk_later(loop, 0, close_stream, NULL);
	is_int(run(&r), ECANCELED, "%s: a callback closes the stream", backend);
	unit_settle(loop);
	end("close");
}

int
main(void)
{
	for (int i = 0; unit_backends[i] != NULL; i++) {
		backend = unit_backends[i];
		test_drain();
		test_read();
		test_move();
		test_close();
	}
	return done_testing();
}
