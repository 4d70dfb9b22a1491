/*
 * tcp.c: a transport's life: data, marks, ends. Every case runs on each
 * back-end, with a client on the loopback in the same process.
 */
#include <err.h>
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "event/loop.h"
#include "record.h"
#include "tap.h"
#include "unit.h"

#define BIG (8u << 20) /* more than two sockets hold */

static const char *backend;
static struct pfk_loop *loop;
static struct pfk_server *server;
static struct pfk_addr addr;
static struct recorder rec;
static int client, fds_before;

#define first (&rec.conns[0])

/* A server and nobody connected yet. */
static void
begin(void)
{
	fds_before = unit_count_fds();
	loop = pfk_loop_new(backend);
	recorder_init(&rec);
	server = pfk_serve(loop, unit_listen(&addr), &rec.protocol, &rec, NULL);
}

static void
connect_client(void)
{
	client = unit_connect(&addr);
	unit_run_until(loop, &rec.calls[RECORD_MADE], 1);
}

/* In every case lost came once and last, and nothing is left. */
static void
end(const char *name)
{
	bool lost = unit_run_until(loop, &rec.calls[RECORD_LOST],
	    rec.refuse ? 0 : rec.calls[RECORD_MADE]);

	unit_settle(loop);
	ok(lost && rec.late == 0 &&
		rec.calls[RECORD_LOST] ==
		    (rec.refuse ? 0 : rec.calls[RECORD_MADE]),
	    "%s: %s: connection_lost once, and last", backend, name);
	pfk_server_close(&server);
	is_int(pfk_loop_run(loop), 0, "%s: %s: the loop ends", backend, name);
	pfk_loop_free(loop);
	close(client);
	is_int(unit_count_fds(), fds_before, "%s: %s: no descriptor is left",
	    backend, name);
}

static void
reset(int fd)
{
	struct linger now = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* Read at the client until the end: the length, or -1 with errno. */
static ssize_t
read_end(char *buf, size_t size)
{
	ssize_t n;

	memset(buf, 0, size);
	n = unit_read(client, buf, size - 1);
	return n;
}

static void
test_echo(void)
{
	struct pfk_addr local = {.len = sizeof(local.in6)};
	char buf[16];

	begin();
	rec.echo = true;
	connect_client();
	getsockname(client, &local.sa, &local.len);
	ok(pfk_addr_equal(pfk_peername(first->tr), &local), "%s: peername",
	    backend);
	unit_write(client, "hello", 5);
	unit_run_until(loop, &rec.calls[RECORD_DATA], 1);
	is_str(first->text, "hello", "%s: data_received", backend);
	is_int(unit_read(client, buf, 5), 5, "%s: pfk_write", backend);
	is_mem(buf, "hello", 5, "%s: the same", backend);
	unit_write(client, "x", 1);
	shutdown(client, SHUT_WR);
	unit_run_until(loop, &rec.calls[RECORD_LOST], 1);
	is_int(rec.calls[RECORD_EOF], 1, "%s: eof_received", backend);
	is_int(first->error, 0, "%s: lost as agreed", backend);
	is_int(read_end(buf, sizeof(buf)), 1, "%s: owed bytes are sent",
	    backend);
	end("echo");
}

static void
test_refuse(void)
{
	char buf[4];

	begin();
	rec.refuse = true;
	connect_client();
	unit_settle(loop);
	is_int(read_end(buf, sizeof(buf)), 0, "%s: refused: the end", backend);
	is_int(rec.calls[RECORD_DATA] + rec.calls[RECORD_EOF], 0,
	    "%s: refused: nothing is called", backend);
	end("refuse");
}

/* writing */

static int pauses_at_write;
static size_t buffered_at_resume;

static void
write_big(struct record *r)
{
	record_write(r->tr, BIG);
	pauses_at_write = r->calls[RECORD_PAUSE];
}

static void
note_buffered(struct record *r)
{
	buffered_at_resume = pfk_write_buffered(r->tr);
}

static void
test_marks(void)
{
	struct drinker d;

	begin();
	rec.at[RECORD_MADE] = write_big;
	rec.at[RECORD_RESUME] = note_buffered;
	connect_client();
	is_int(pauses_at_write, 0, "%s: not from inside pfk_write", backend);
	ok(unit_run_until(loop, &rec.calls[RECORD_PAUSE], 1),
	    "%s: over the high mark: pause_writing", backend);
	ok(pfk_write_buffered(first->tr) > 65536, "%s: it is over", backend);
	unit_settle(loop);
	is_int(rec.calls[RECORD_PAUSE], 1, "%s: once", backend);
	is_int(rec.calls[RECORD_RESUME], 0, "%s: a peer that reads nothing",
	    backend);
	drinker_start(&d, loop, client);
	ok(unit_run_until(loop, &rec.calls[RECORD_RESUME], 1),
	    "%s: below the low mark: resume_writing", backend);
	ok(buffered_at_resume <= 16384, "%s: it is: %zu", backend,
	    buffered_at_resume);
	errno = 0;
	ok(pfk_set_write_limits(first->tr, 2, 1) == -1 && errno == EINVAL,
	    "%s: low over high is invalid", backend);
	is_int(pfk_set_write_limits(first->tr, 0, 0), 0, "%s: none at all",
	    backend);
	pfk_close(first->tr);
	unit_run_until(loop, &d.ended, 1);
	ok(d.got == BIG && d.wrong == 0, "%s: all came, %zu bytes", backend,
	    d.got);
	shutdown(client, SHUT_WR);
	end("marks");
}

static void
write_until_full(void *arg)
{
	(void)arg;
	while (pfk_write_buffered(first->tr) == 0 &&
	    record_write(first->tr, 65536) == 0)
		continue;
}

static void
read_all(void *arg)
{
	static char buf[65536];

	(void)arg;
	while (recv(client, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		continue;
}

/* All is sent before there was a moment to tell of the pause. */
static void
test_short_pause(void)
{
	begin();
	connect_client();
	pfk_set_write_limits(first->tr, 0, 0);
	pfk_soon(loop, write_until_full, NULL);
	pfk_soon(loop, read_all, NULL);
	ok(unit_run_until(loop, &rec.calls[RECORD_RESUME], 1),
	    "%s: resume_writing follows a full buffer", backend);
	is_int(rec.calls[RECORD_PAUSE], 1, "%s: and a pause_writing", backend);
	pfk_abort(first->tr);
	end("short pause");
}

static void
write_three_chunks(void *arg)
{
	(void)arg;
	while (pfk_write_buffered(first->tr) <= 2 * PFK__CHUNK_BYTES &&
	    record_write(first->tr, PFK__CHUNK_BYTES) == 0)
		continue;
}

/* Three chunks of eight are more than a quarter. */
static void
test_scarce_chunks(void)
{
	begin();
	loop->ledger->chunks_max = 8;
	connect_client();
	pfk_soon(loop, write_three_chunks, NULL);
	ok(unit_run_until(loop, &rec.calls[RECORD_PAUSE], 1),
	    "%s: chunks are short: pause_writing", backend);
	ok(pfk_write_buffered(first->tr) <= 65536,
	    "%s: it comes below the high mark", backend);
	pfk_abort(first->tr);
	end("scarce chunks");
}

static void
write_and_close(struct record *r)
{
	record_write(r->tr, BIG);
	pfk_close(r->tr);
}

static void
test_close_flushes(void)
{
	struct drinker d;

	begin();
	rec.at[RECORD_MADE] = write_and_close;
	connect_client();
	unit_settle(loop);
	is_int(rec.calls[RECORD_LOST], 0, "%s: close waits for a slow peer",
	    backend);
	drinker_start(&d, loop, client);
	ok(unit_run_until(loop, &d.ended, 1), "%s: then comes the end",
	    backend);
	is_int(d.error, 0, "%s: no reset", backend);
	ok(d.got == BIG && d.wrong == 0, "%s: after all, %zu bytes", backend,
	    d.got);
	is_int(rec.calls[RECORD_PAUSE], 0, "%s: a closing one is not paused",
	    backend);
	shutdown(client, SHUT_WR);
	unit_run_until(loop, &rec.calls[RECORD_LOST], 1);
	is_int(first->error, 0, "%s: lost as agreed", backend);
	end("close flushes");
}

static void
say_bye(struct record *r)
{
	pfk_write(r->tr, "bye", 3);
	pfk_close(r->tr);
}

/* A reset must not overtake the last bytes where the peer still sends. */
static void
test_close_against_sender(void)
{
	static const char much[100000];
	char buf[16];

	begin();
	rec.at[RECORD_MADE] = say_bye;
	client = unit_connect(&addr);
	unit_write(client, much, sizeof(much));
	unit_run_until(loop, &rec.calls[RECORD_MADE], 1);
	is_int(read_end(buf, sizeof(buf)), 3, "%s: the last bytes come",
	    backend);
	is_str(buf, "bye", "%s: whole", backend);
	is_int(rec.calls[RECORD_DATA], 0, "%s: received bytes are discarded",
	    backend);
	shutdown(client, SHUT_WR);
	end("close against a sender");
}

static void
test_write_after(void)
{
	char buf[16];

	begin();
	connect_client();
	is_int(pfk_write(first->tr, "", 0), 0, "%s: nothing to write", backend);
	pfk_write(first->tr, "abc", 3);
	pfk_write_eof(first->tr);
	pfk_write_eof(first->tr);
	errno = 0;
	ok(pfk_write(first->tr, "d", 1) == -1 && errno == EPIPE,
	    "%s: EPIPE after write_eof", backend);
	ok(!pfk_is_closing(first->tr), "%s: which is no close", backend);
	unit_settle(loop);
	is_int(read_end(buf, sizeof(buf)), 3, "%s: the data, then FIN",
	    backend);
	unit_write(client, "still", 5);
	unit_run_until(loop, &rec.calls[RECORD_DATA], 1);
	is_str(first->text, "still", "%s: and it goes on reading", backend);
	pfk_close(first->tr);
	ok(pfk_is_closing(first->tr), "%s: closing", backend);
	errno = 0;
	ok(pfk_write(first->tr, "d", 1) == -1 && errno == EPIPE,
	    "%s: EPIPE after close", backend);
	shutdown(client, SHUT_WR);
	end("write after");
}

/* ends */

static void
test_abort(void)
{
	char buf[4];

	begin();
	connect_client();
	pfk_abort(first->tr);
	is_int(rec.calls[RECORD_LOST], 0, "%s: not from inside pfk_abort",
	    backend);
	pfk_abort(first->tr);
	unit_run_until(loop, &rec.calls[RECORD_LOST], 1);
	is_int(first->error, ECONNABORTED, "%s: aborted", backend);
	errno = 0;
	ok(read_end(buf, sizeof(buf)) == -1 && errno == ECONNRESET,
	    "%s: the client sees a reset", backend);
	end("abort");
}

static void
test_reset(void)
{
	begin();
	connect_client();
	reset(client);
	ok(unit_run_until(loop, &rec.calls[RECORD_LOST], 1), "%s: a reset",
	    backend);
	is_int(first->error, ECONNRESET, "%s: is told", backend);
	is_int(rec.calls[RECORD_EOF], 0, "%s: and is no FIN", backend);
	client = unit_connect(&addr);
	reset(client);
	unit_run_until(loop, &rec.calls[RECORD_MADE], 2);
	client = -1;
	end("reset");
}

static void
test_half_close(void)
{
	struct drinker d;
	uint64_t turns;

	begin();
	rec.keep_eof = true;
	connect_client();
	unit_write(client, "abc", 3);
	shutdown(client, SHUT_WR);
	unit_run_until(loop, &rec.calls[RECORD_EOF], 1);
	turns = loop->turns;
	unit_settle(loop);
	ok(loop->turns - turns < 50, "%s: after FIN it does not spin: %d",
	    backend, (int)(loop->turns - turns));
	is_int(rec.calls[RECORD_EOF], 1, "%s: FIN is told once", backend);
	is_int(rec.calls[RECORD_LOST], 0, "%s: half-closed is not closed",
	    backend);
	record_write(first->tr, BIG);
	pfk_close(first->tr);
	drinker_start(&d, loop, client);
	unit_run_until(loop, &d.ended, 1);
	ok(d.got == BIG && d.error == 0, "%s: all that is owed comes: %zu",
	    backend, d.got);
	end("half close");
}

static void
pause_reading(struct record *r)
{
	pfk_pause_reading(r->tr);
}

static void
test_pause_reading(void)
{
	begin();
	rec.at[RECORD_MADE] = pause_reading;
	client = unit_connect(&addr);
	unit_write(client, "abc", 3);
	unit_run_until(loop, &rec.calls[RECORD_MADE], 1);
	unit_settle(loop);
	is_int(rec.calls[RECORD_DATA], 0, "%s: paused: nothing is read",
	    backend);
	pfk_resume_reading(first->tr);
	ok(unit_run_until(loop, &rec.calls[RECORD_DATA], 1),
	    "%s: resumed: it is", backend);
	pfk_pause_reading(first->tr);
	pfk_close(first->tr);
	shutdown(client, SHUT_WR);
	end("pause reading");
}

static void
stop_loop(void *arg)
{
	pfk_loop_stop(arg);
}

/* Closing is then no end for epoll(7), which would tell of it for ever. */
static void
test_child_holds_it(void)
{
	int hold[2];
	uint64_t turns;
	pid_t child;

	begin();
	connect_client();
	if (pipe(hold) == -1 || (child = fork()) == -1)
		err(1, "child");
	if (child == 0) {
		close(hold[1]);
		_exit((int)read(hold[0], hold, 1));
	}
	pfk_abort(first->tr);
	unit_run_until(loop, &rec.calls[RECORD_LOST], 1);
	unit_write(client, "x", 1);
	turns = loop->turns;
	pfk_later(loop, 100 * PFK_MSEC_NS, stop_loop, loop);
	pfk_loop_run(loop);
	turns = loop->turns - turns;
	ok(turns < 60, "%s: a child that has it too is no load: %d turns",
	    backend, (int)turns);
	close(hold[0]);
	close(hold[1]);
	waitpid(child, NULL, 0);
	end("child holds it");
}

int
main(void)
{
	for (int i = 0; unit_backends[i] != NULL; i++) {
		backend = unit_backends[i];
		test_echo();
		test_refuse();
		test_marks();
		test_short_pause();
		test_scarce_chunks();
		test_close_flushes();
		test_close_against_sender();
		test_write_after();
		test_abort();
		test_reset();
		test_half_close();
		test_pause_reading();
		test_child_holds_it();
	}
	return done_testing();
}
