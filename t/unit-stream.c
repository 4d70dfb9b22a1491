/*
 * stream/: reads, back-pressure, drain, ends, and pfk_run_until. Every case
 * runs on each back-end, with a blocking peer in the same process.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event/loop.h"
#include "stream/stream.h"
#include "tap.h"
#include "unit.h"

#define SECOND_NS PFK_SECOND_NS
#define BIG (8u << 20) /* more than two sockets hold */

static const char *backend;
static struct pfk_loop *loop;
static struct pfk_server *server;
static struct pfk_addr addr;
static struct pfk_stream *stream; /* the accepted one */
static struct pfk_result result;  /* of pfk_run_until */
static int connections, peer, fds_before;

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
	fds_before = unit_count_fds();
	connections = 0;
	stream = NULL;
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
	is_int(unit_count_fds(), fds_before, "%s: %s: no descriptor is left",
	    backend, name);
}

/* Run the outstanding call: 0 or the errno of pfk_run_until. */
static int
run(struct pfk_stream *s)
{
	memset(&result, 0, sizeof(result));
	return pfk_run_until(loop, s, pfk_loop_now(loop) + 5 * SECOND_NS,
		   &result) == 0
	    ? 0
	    : errno;
}

/* The call ended with this error and this text. */
static void
is_result(int error, const char *text, const char *name)
{
	char got[64] = "";

	memcpy(got, result.buf != NULL ? result.buf : "",
	    result.len < sizeof(got) ? result.len : 0);
	is_int(result.error, error, "%s: %s: error", backend, name);
	is_str(got, text, "%s: %s: bytes", backend, name);
}

static void
test_reads(void)
{
	begin();
	unit_write(peer, "line 1\nline 2\nabcdefghij", 24);
	pfk_read_until(stream, '\n', NULL, NULL);
	is_int(run(stream), 0, "%s: runs", backend);
	is_result(0, "line 1\n", "read_until");
	pfk_read_until(stream, '\n', NULL, NULL);
	run(stream);
	is_result(0, "line 2\n", "another line");
	pfk_read_exactly(stream, 4, NULL, NULL);
	run(stream);
	is_result(0, "abcd", "read_exactly");
	pfk_read(stream, 3, NULL, NULL);
	run(stream);
	is_result(0, "efg", "read is at most max");
	pfk_read(stream, 1024, NULL, NULL);
	run(stream);
	is_result(0, "hij", "read gets the bytes there");
	ok(!pfk_stream_at_eof(stream), "%s: not at the end", backend);

	is_int(pfk_run_until(loop, stream, 0, &result), -1, "%s: no call",
	    backend);
	is_int(errno, EINVAL, "%s: EINVAL", backend);
	pfk_read(stream, 10, NULL, NULL);
	is_int(pfk_read(stream, 10, NULL, NULL), -1, "%s: a second read",
	    backend);
	is_int(errno, EBUSY, "%s: EBUSY", backend);
	is_int(pfk_stream_drain(stream, NULL, NULL), -1, "%s: a second call",
	    backend);
	is_int(errno, EBUSY, "%s: without callback: EBUSY", backend);
	is_int(pfk_run_until(loop, stream, pfk_loop_now(loop) + 1, &result), -1,
	    "%s: a deadline", backend);
	is_int(errno, ETIMEDOUT, "%s: ETIMEDOUT", backend);
	unit_write(peer, "late", 4);
	is_int(run(stream), 0, "%s: the call goes on", backend);
	is_result(0, "late", "and ends");
	ok(pfk_read(stream, 0, NULL, NULL) == -1 && errno == EINVAL,
	    "%s: nothing to read: EINVAL", backend);
	end("reads");
}

static void
test_ends(void)
{
	begin();
	unit_write(peer, "abc", 3);
	shutdown(peer, SHUT_WR);
	pfk_read_exactly(stream, 10, NULL, NULL);
	run(stream);
	is_result(ENODATA, "abc", "incomplete");
	pfk_read_exactly(stream, 10, NULL, NULL);
	run(stream);
	is_result(ENODATA, "", "nothing left");
	pfk_read(stream, 10, NULL, NULL);
	run(stream);
	is_result(0, "", "read: the end");
	is_int((int)result.len, 0, "%s: of length 0", backend);
	ok(pfk_stream_at_eof(stream), "%s: at_eof", backend);
	is_int(pfk_stream_write(stream, "bye", 3), 0,
	    "%s: owed bytes can be sent", backend);
	pfk_stream_write_eof(stream);
	ok(pfk_stream_write(stream, "x", 1) == -1 && errno == EPIPE,
	    "%s: not after write_eof", backend);
	unit_settle(loop);
	{
		char buf[8] = "";

		is_int(unit_read(peer, buf, 8), 3, "%s: it comes, then the end",
		    backend);
	}
	end("ends");

	begin();
	unit_write(peer, "ab", 2);
	shutdown(peer, SHUT_WR);
	pfk_read_until(stream, '\n', NULL, NULL);
	run(stream);
	is_result(ENODATA, "ab", "read_until: incomplete");
	end("incomplete line");
}

static void
test_reset(void)
{
	struct linger now = {.l_onoff = 1};

	begin();
	pfk_read(stream, 10, NULL, NULL);
	setsockopt(peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(peer);
	run(stream);
	is_result(ECONNRESET, "", "reset");
	ok(pfk_stream_transport(stream) == NULL, "%s: lost", backend);
	ok(pfk_stream_write(stream, "x", 1) == -1 && errno == EPIPE,
	    "%s: no more writing", backend);
	pfk_stream_drain(stream, NULL, NULL);
	run(stream);
	is_result(ECONNRESET, "", "drain tells it too");
	peer = -1;
	end("reset");
}

static void
test_limit(void)
{
	char *text = malloc(64);

	begin();
	memset(text, 'x', 64);
	text[40] = '\n';
	is_int(pfk_stream_set_limit(stream, 0), -1, "%s: limit 0", backend);
	pfk_stream_set_limit(stream, 10);
	unit_write(peer, text, 15);
	pfk_read_until(stream, '\n', NULL, NULL);
	run(stream);
	is_result(EMSGSIZE, "", "past the limit");
	pfk_read(stream, 4, NULL, NULL);
	run(stream);
	is_result(0, "xxxx", "read gets it");
	unit_write(peer, text + 15, 30);
	pfk_read_until(stream, '\n', NULL, NULL);
	run(stream);
	is_result(EMSGSIZE, "", "delimiter past the limit");
	pfk_read_exactly(stream, 36, NULL, NULL);
	run(stream);
	is_int((int)result.len, 36, "%s: more than the limit, exactly",
	    backend);
	pfk_read_until(stream, '\n', NULL, NULL);
	run(stream);
	is_result(0, "\n", "and on");
	free(text);
	end("limit");
}

/* Unread bytes wait in the peer, and nothing is lost. */
static void
test_back_pressure(void)
{
	char *data = malloc(BIG);
	size_t sent = 0, got = 0;
	ssize_t n;
	bool same = true;

	begin();
	for (size_t i = 0; i < BIG; i++)
		data[i] = (char)(i * 7 % 251);
	for (int quiet = 0; quiet < 3 && sent < BIG;) {
		n = send(peer, data + sent, BIG - sent,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
		quiet = n > 0 ? 0 : quiet + 1;
		sent += n > 0 ? (size_t)n : 0;
		unit_settle(loop);
	}
	ok(sent < BIG, "%s: a peer of a full reader waits", backend);
	ok(stream->in.len > 2 * PFK_STREAM_LIMIT &&
		stream->in.len <= 3 * PFK_STREAM_LIMIT,
	    "%s: twice the limit and a read: %zu", backend, stream->in.len);
	while (got < sent) {
		pfk_read(stream, 100000, NULL, NULL);
		if (run(stream) != 0 || result.len == 0)
			break;
		same = same && memcmp(result.buf, data + got, result.len) == 0;
		got += result.len;
	}
	ok(same && got == sent, "%s: all is there: %zu", backend, got);
	n = unit_write(peer, data, 3 * PFK_STREAM_LIMIT);
	pfk_read_exactly(stream, (size_t)n, NULL, NULL);
	is_int(run(stream), 0, "%s: exactly more than is read ahead", backend);
	is_int((int)result.len, (int)n, "%s: comes", backend);
	free(data);
	end("back-pressure");
}

static int drained;

static void
on_drain(void *arg, const struct pfk_result *r)
{
	(void)arg;
	drained += r->error == 0;
}

static void
test_drain(void)
{
	char *data = calloc(1, BIG);
	size_t got = 0;
	ssize_t n;

	begin();
	drained = 0;
	pfk_stream_write(stream, "x", 1);
	pfk_stream_drain(stream, on_drain, NULL);
	is_int(drained, 0, "%s: not from inside the call", backend);
	ok(pfk_stream_drain(stream, on_drain, NULL) == -1 && errno == EBUSY,
	    "%s: one drain", backend);
	unit_settle(loop);
	is_int(drained, 1, "%s: little is drained at once", backend);
	pfk_stream_write(stream, data, BIG);
	pfk_stream_drain(stream, on_drain, NULL);
	unit_settle(loop);
	is_int(drained, 1, "%s: much waits", backend);
	while (got < BIG + 1) {
		n = recv(peer, data, BIG, MSG_DONTWAIT);
		got += n > 0 ? (size_t)n : 0;
		if (n == 0)
			break;
		unit_settle(loop);
	}
	is_int(drained, 2, "%s: until it is read", backend);
	free(data);
	end("drain");
}

/* lines: the callback form, one callback that starts the next read */

static char lines[128];
static int n_lines, depth;

static void
on_line(void *arg, const struct pfk_result *r)
{
	struct pfk_stream **s = arg;

	is_int(++depth, 1, "%s: no callback inside a call", backend);
	if (r->error == 0) {
		strncat(lines, r->buf, r->len);
		n_lines++;
		pfk_read_until(*s, '\n', on_line, s);
	} else {
		strlcat(lines, r->error == ENODATA ? "end" : "?",
		    sizeof(lines));
		pfk_stream_close(s);
		n_lines++;
	}
	depth--;
}

static void
test_callbacks(void)
{
	begin();
	n_lines = 0;
	lines[0] = '\0';
	pfk_read_until(stream, '\n', on_line, &stream);
	unit_write(peer, "1\n2\n3", 5);
	unit_run_until(loop, &n_lines, 2);
	unit_write(peer, "3\n", 2);
	shutdown(peer, SHUT_WR);
	unit_run_until(loop, &n_lines, 4);
	is_str(lines, "1\n2\n33\nend", "%s: line by line", backend);
	ok(stream == NULL, "%s: closed in its callback", backend);
	end("callbacks");
}

static int never;

static void
on_never(void *arg, const struct pfk_result *r)
{
	(void)arg;
	(void)r;
	never++;
}

static void
test_close_drops(void)
{
	begin();
	never = 0;
	pfk_read(stream, 1, on_never, NULL);
	unit_write(peer, "x", 1);
	pfk_stream_close(&stream);
	pfk_stream_close(&stream);
	unit_settle(loop);
	is_int(never, 0, "%s: no callback of a closed stream", backend);
	end("close");

	begin();
	pfk_read(stream, 1, on_never, NULL);
	pfk_stream_abort(&stream);
	unit_settle(loop);
	is_int(never, 0, "%s: nor of an aborted one", backend);
	{
		char c;

		ok(unit_read(peer, &c, 1) == -1 && errno == ECONNRESET,
		    "%s: which is reset", backend);
	}
	end("abort");
}

/* The process stops: a reader gets all received bytes, and the end. */
static void
test_stop(void)
{
	begin();
	unit_write(peer, "last", 4);
	unit_settle(loop);
	pfk_loop_drain(loop, PFK_DRAIN_STOP);
	pfk_read(stream, 10, NULL, NULL);
	run(stream);
	is_result(0, "last", "stop: the received bytes");
	pfk_read(stream, 10, NULL, NULL);
	run(stream);
	is_result(0, "", "stop: then the end");
	is_int(pfk_stream_write(stream, "bye", 3), 0, "%s: answers go out",
	    backend);
	end("stop");
}

/* opening */

static void
check_info(const struct pfk_transport *tr, const struct pfk_transport *there)
{
	struct pfk_addr local, here;
	struct tcp_info info;
	int value = -1;

	pfk_sockname(tr, &local);
	here = *pfk_peername(there);
	ok(pfk_addr_equal(&local, &here), "%s: sockname", backend);
	is_int(pfk_extra_info(tr, "TCP_NODELAY", &value, sizeof(value)), 0,
	    "%s: extra info", backend);
	is_int(value, 1, "%s: TCP_NODELAY", backend);
	ok(pfk_extra_info(tr, "SO_RCVBUF", &value, sizeof(value)) == 0 &&
		value > 0,
	    "%s: SO_RCVBUF %d", backend, value);
	ok(pfk_extra_info(tr, "tcp_info", &info, sizeof(info)) == 0 &&
		info.tcpi_state == TCP_ESTABLISHED,
	    "%s: tcp_info", backend);
	ok(pfk_extra_info(tr, "SO_NONE", &value, sizeof(value)) == -1 &&
		errno == ENOENT,
	    "%s: no such name", backend);
	ok(pfk_extra_info(tr, "SO_RCVBUF", &value, 1) == -1 && errno == EINVAL,
	    "%s: no room", backend);
}

static void
test_open(void)
{
	struct pfk_connect_options options = {.host = "127.0.0.1"};
	struct pfk_stream *s, *before;
	int port;

	begin();
	before = stream;
	options.port = pfk_addr_port(&addr);
	s = pfk_stream_open(loop, &options, NULL, NULL);
	ok(pfk_stream_write(s, "x", 1) == -1 && errno == ENOTCONN &&
		pfk_read(s, 1, NULL, NULL) == -1 && errno == ENOTCONN,
	    "%s: not connected yet", backend);
	is_int(run(s), 0, "%s: open", backend);
	is_int(result.error, 0, "%s: without error", backend);
	ok(pfk_addr_equal(pfk_peername(pfk_stream_transport(s)), &addr),
	    "%s: peername", backend);
	unit_run_until(loop, &connections, 2);
	check_info(pfk_stream_transport(s), pfk_stream_transport(stream));
	pfk_stream_close(&s);
	pfk_read(stream, 1, NULL, NULL);
	run(stream);
	is_result(0, "", "the other side sees the end");
	port = options.port;
	options.family = AF_INET6;
	s = pfk_stream_open(loop, &options, NULL, NULL);
	run(s);
	is_int(result.error, PFK_ENOHOST, "%s: 127.0.0.1 is not IPv6", backend);
	pfk_stream_close(&s);
	options.family = AF_UNSPEC;
	options.port = 1;
	s = pfk_stream_open(loop, &options, NULL, NULL);
	run(s);
	is_result(ECONNREFUSED, "127.0.0.1:1: Connection refused", "refused");
	pfk_stream_close(&s);
	never = 0;
	options.port = (uint16_t)port;
	s = pfk_stream_open(loop, &options, on_never, NULL);
	pfk_stream_close(&s);
	unit_settle(loop);
	is_int(never, 0, "%s: cancelled", backend);
	pfk_stream_close(&before);
	end("open");
}

int
main(void)
{
	for (int i = 0; unit_backends[i] != NULL; i++) {
		backend = unit_backends[i];
		test_reads();
		test_ends();
		test_reset();
		test_limit();
		test_back_pressure();
		test_drain();
		test_callbacks();
		test_close_drops();
		test_stop();
		test_open();
	}
	return done_testing();
}
