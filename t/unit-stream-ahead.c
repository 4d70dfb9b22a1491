/*
 * stream/reader.c: for a program that reads short lines, and drains in between,
 * and takes a turn for each, no more is read ahead than for others, however much
 * comes.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream/stream.h"
#include "tap.h"
#include "unit.h"

#define LINES 20000
/* Twice the limit, and the read that has gone over it. */
#define AHEAD_MAX (2 * PFK_STREAM_LIMIT + 65536)

static struct pfk_stream *stream;
static size_t ahead;
static int lines, peer;

/* Make sure that the peer always has bytes to send. */
static void
fill(void)
{
	static char text[65536];

	memset(text, '\n', sizeof(text));
	while (send(peer, text, sizeof(text), MSG_DONTWAIT) > 0)
		continue;
}

static void on_event(void *arg, const struct pfk_result *r);

static void
next_line(void *arg)
{
	(void)arg;
	pfk_read_until(stream, '\n', on_event, NULL);
}

static void
on_event(void *arg, const struct pfk_result *r)
{
	(void)arg;
	if (stream->in.len > ahead)
		ahead = stream->in.len;
	if (r->error != 0)
		return;
	lines += r->len > 0;
	if (r->len == 0)
		pfk_soon(stream->loop, next_line, NULL);
	else
		pfk_stream_drain(stream, on_event, NULL);
	if (lines % 16 == 0)
		fill();
}

static void
connected(struct pfk_stream *s, void *arg)
{
	(void)arg;
	stream = s;
	pfk_read_until(s, '\n', on_event, NULL);
}

int
main(void)
{
	struct pfk_loop *l = pfk_loop_new(NULL);
	struct pfk_addr addr;
	struct pfk_server *server = pfk_stream_serve(l, unit_listen(&addr),
	    connected, NULL, NULL);

	peer = unit_connect(&addr);
	fill();
	ok(unit_run_until(l, &lines, LINES), "%d lines are read", LINES);
	ok(ahead > PFK_STREAM_LIMIT, "%zu bytes were read ahead", ahead);
	ok(ahead <= AHEAD_MAX, "and that is no more than allowed");

	close(peer);
	pfk_stream_abort(&stream);
	pfk_server_close(&server);
	is_int(pfk_loop_run(l), 0, "the loop ends");
	pfk_loop_free(l);
	return done_testing();
}
