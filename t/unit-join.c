/*
 * join.c: received bytes leave by another transport or the same, byte by byte,
 * whether copied or spliced.  Every case runs on each back-end; the clients are
 * on the same loop.
 */
#include <err.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "pump.h"
#include "record.h"
#include "tap.h"
#include "transport/join.h"
#include "unit.h"

#define BULK (6u << 20)
#define CHUNK PUMP_CHUNK

static const char *backend;
static struct pfk_loop *loop;
static struct pfk_server *server;
static struct pfk_addr addr;
static struct recorder rec;
static int fds_before, clients;

static struct pump pumps[RECORD_CONNS];

#define first (rec.conns[0].tr)
#define second (rec.conns[1].tr)

static struct pump *
connect_pump(void)
{
	struct pump *p = &pumps[clients];

	pump_open(p, loop, unit_connect(&addr));
	unit_run_until(loop, &rec.calls[RECORD_MADE], ++clients);
	return p;
}

/* Send n more, and read until all of it is back. */
static bool
round_trip(struct pump *p, size_t n)
{
	pump_send(p, n);
	p->want = p->to_send;
	p->got_all = 0;
	return unit_run_until(loop, &p->got_all, 1);
}

/* cases */

static void
join_itself(struct record *r)
{
	is_int(pfk_join(r->tr, r->tr), 0, "%s: joined", backend);
}

static void
begin(void)
{
	fds_before = unit_count_fds();
	clients = 0;
	loop = pfk_loop_new(backend);
	recorder_init(&rec);
	server = pfk_serve(loop, unit_listen(&addr), &rec.protocol, &rec, NULL);
}

static struct pump *
begin_echo(void)
{
	begin();
	rec.at[RECORD_MADE] = join_itself;
	return connect_pump();
}

/* No pipe is held, nothing wrong came, and nothing is left. */
static void
end(const char *name)
{
	for (int i = 0; i < clients; i++) {
		is_int(pumps[i].wrong, 0, "%s: %s: no byte is wrong", backend,
		    name);
		pump_close(&pumps[i]);
	}
	ok(unit_run_until(loop, &rec.calls[RECORD_LOST], clients) &&
		rec.late == 0,
	    "%s: %s: connection_lost once, and last", backend, name);
	is_int(loop->pipes.count, loop->pipes.idle_len,
	    "%s: %s: every pipe is back", backend, name);
	pfk_server_close(&server);
	is_int(pfk_loop_run(loop), 0, "%s: %s: the loop ends", backend, name);
	pfk_loop_free(loop);
	is_int(unit_count_fds(), fds_before, "%s: %s: no descriptor is left",
	    backend, name);
}

/* Until the peer, which does not read, is not read from. */
static void
fill_by(struct pump *p, struct pump *reader)
{
	size_t before;

	pump_stop(reader);
	pump_send(p, (size_t)1 << 30);
	do {
		before = p->sent;
		unit_settle(loop);
	} while (p->sent > before && p->sent < (size_t)64 << 20);
	pump_enough(p);
}

static void
fill(struct pump *p)
{
	fill_by(p, p);
}

static void
test_bulk_and_quiet(void)
{
	struct pump *p = begin_echo();

	ok(round_trip(p, 65536), "%s: a short transfer", backend);
	is_int(loop->pipes.count, 0, "%s: takes no pipe", backend);
	ok(first->joint == NULL, "%s: and no memory", backend);
	ok(round_trip(p, BULK), "%s: a long one", backend);
	ok(loop->pipes.count > 0, "%s: does", backend);
	for (int i = 1; i < 40; i++) {
		if (!round_trip(p, (size_t)i))
			break;
	}
	is_int(p->got, 65536 + BULK + 39 * 20, "%s: then small ones", backend);
	is_int(first->bulk, 0, "%s: it is bulk no longer", backend);
	ok(first->joint == NULL, "%s: the memory is back", backend);
	ok(round_trip(p, BULK), "%s: and a long one again", backend);
	is_int(rec.calls[RECORD_DATA], 0, "%s: no data_received", backend);
	is_int(rec.calls[RECORD_PAUSE], 0, "%s: no pause_writing", backend);
	end("bulk and quiet");
}

static void
test_half_close(bool keep)
{
	struct pump *p = begin_echo();

	rec.keep_eof = keep;
	fill(p);
	shutdown(p->fd, SHUT_WR);
	pump_go_on(p);
	p->want = p->to_send;
	unit_run_until(loop, &p->got_all, 1);
	is_int(p->got, p->to_send, "%s: all comes after the peer's end",
	    backend);
	unit_run_until(loop, &rec.calls[RECORD_EOF], 1);
	is_int(rec.calls[RECORD_EOF], 1, "%s: eof_received", backend);
	if (keep) {
		is_int(p->ended, 0, "%s: kept open", backend);
		pfk_close(first);
	}
	ok(unit_run_until(loop, &p->ended, 1) && p->error == 0,
	    "%s: then our end", backend);
	end("half-close");
}

static void
test_back_pressure(void)
{
	struct pump *p = begin_echo();
	size_t held;

	fill(p);
	held = pfk_write_buffered(first);
	ok(p->sent < (size_t)64 << 20, "%s: the peer has to wait", backend);
	ok(held > 0 && held <= CHUNK, "%s: no more than a read is held: %zu",
	    backend, held);
	pump_go_on(p);
	ok(round_trip(p, 100), "%s: and goes on", backend);
	end("back-pressure");
}

/* EAGAIN at nearly every call. */
static void
test_small_buffer(void)
{
	struct pump *p = begin_echo();
	int small = 4096;

	setsockopt(first->io.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	ok(round_trip(p, 1u << 20), "%s: through a small buffer", backend);
	end("small buffer");
}

static void
test_reset(void)
{
	struct pump *p = begin_echo();

	fill(p);
	pump_reset(p);
	unit_run_until(loop, &rec.calls[RECORD_LOST], 1);
	ok(rec.conns[0].error == ECONNRESET || rec.conns[0].error == EPIPE,
	    "%s: reset: %s", backend, strerror(rec.conns[0].error));
	end("reset");
}

/* A pipe that is full when we have had enough. */
static void
fill_pipe(struct pump *p)
{
	ok(round_trip(p, BULK), "%s: made bulk", backend);
	fill(p);
	ok(first->joint != NULL && first->joint->in_pipe > 0 &&
		first->out.len == 0,
	    "%s: bytes are in the pipe", backend);
}

static void
test_close(bool abort)
{
	struct pump *p = begin_echo();

	fill_pipe(p);
	p->want = p->got + pfk_write_buffered(first);
	abort ? pfk_abort(first) : pfk_close(first);
	pump_go_on(p);
	unit_run_until(loop, &p->ended, 1);
	is_int(p->error, abort ? ECONNRESET : 0, "%s: the end", backend);
	ok(abort || p->got >= p->want, "%s: close sends the pipe's bytes",
	    backend);
	end(abort ? "abort" : "close");
}

/* Written bytes go behind those in the pipe. */
static void
test_write(void)
{
	struct pump *p = begin_echo();
	size_t owed;
	char more[100];

	fill_pipe(p);
	owed = pfk_write_buffered(first);
	pfk_unjoin(first);
	ok(first->joint->in_pipe == owed, "%s: leaves the pipe", backend);
	memset(more, 'w', sizeof(more));
	is_int(pfk_write(first, more, sizeof(more)), 0, "%s: written", backend);
	is_int(pfk_write_buffered(first), owed + sizeof(more),
	    "%s: all is owed", backend);
	pfk_close(first);
	pump_go_on(p);
	unit_run_until(loop, &p->ended, 1);
	/* In an echo of the pattern only they differ. */
	ok(p->wrong > 90 && p->wrong <= 100,
	    "%s: the pattern, and then the written bytes: %d", backend,
	    p->wrong);
	p->wrong = 0;
	end("write");
}

static void
test_unjoin(void)
{
	struct pump *p = begin_echo();

	ok(round_trip(p, BULK), "%s: echoed", backend);
	pfk_unjoin(first);
	rec.echo = true;
	ok(round_trip(p, 1000), "%s: still, by data_received", backend);
	ok(rec.calls[RECORD_DATA] > 0, "%s: which is called", backend);
	is_int(pfk_join(first, first), 0, "%s: joined again", backend);
	rec.calls[RECORD_DATA] = 0;
	ok(round_trip(p, BULK), "%s: echoed again", backend);
	is_int(rec.calls[RECORD_DATA], 0, "%s: without it", backend);
	end("unjoin");
}

static void
test_pause(void)
{
	struct pump *p = begin_echo();

	pfk_pause_reading(first);
	pump_send(p, 1000);
	unit_settle(loop);
	is_int(p->got, 0, "%s: paused: nothing moves", backend);
	pfk_resume_reading(first);
	ok(round_trip(p, 1000), "%s: resumed: it does", backend);
	end("pause");
}

/* without pipes */

static void
test_empty_pool(void)
{
	struct pfk__pipe taken[PFK__PIPES_MAX], none;
	struct pump *p = begin_echo();

	for (int i = 0; i < PFK__PIPES_MAX; i++) {
		if (pfk__pipes_take(&loop->pipes, &taken[i]) == -1)
			errx(1, "no pipe %d", i);
	}
	is_int(pfk__pipes_take(&loop->pipes, &none), -1, "%s: no more pipes",
	    backend);
	ok(round_trip(p, BULK), "%s: bulk without one", backend);
	fill(p);
	ok(pfk_write_buffered(first) > 0 && pfk_write_buffered(first) <= CHUNK,
	    "%s: no more than a read is held", backend);
	for (int i = 0; i < PFK__PIPES_MAX; i++)
		pfk__pipes_give(&loop->pipes, taken[i]);
	pump_go_on(p);
	ok(round_trip(p, BULK), "%s: and with them again", backend);
	end("empty pool");
}

static void
test_no_descriptor(void)
{
	struct rlimit was, now;
	struct pump *p = begin_echo();

	getrlimit(RLIMIT_NOFILE, &was);
	now = was;
	now.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &now);
	ok(round_trip(p, BULK), "%s: bulk without descriptors", backend);
	is_int(loop->pipes.count, 0, "%s: there was none", backend);
	setrlimit(RLIMIT_NOFILE, &was);
	end("no descriptor");
}

/* A pipe is held only while it has bytes. */
static void
test_many(void)
{
	struct pump *p[RECORD_CONNS];
	int all = 0;

	begin();
	rec.at[RECORD_MADE] = join_itself;
	for (int i = 0; i < RECORD_CONNS; i++) {
		p[i] = connect_pump();
		pump_send(p[i], BULK / 2);
		p[i]->want = BULK / 2;
	}
	for (int i = 0; i < RECORD_CONNS; i++)
		all += unit_run_until(loop, &p[i]->got_all, 1);
	is_int(all, RECORD_CONNS, "%s: many at a time", backend);
	ok(loop->pipes.count < PFK__PIPES_MAX, "%s: and few pipes: %d", backend,
	    loop->pipes.count);
	end("many");
}

/* pairs */

static void
begin_pair(struct pump **a, struct pump **b)
{
	begin();
	*a = connect_pump();
	*b = connect_pump();
	is_int(pfk_join(first, second), 0, "%s: joined, one way", backend);
}

static void
end_sink(struct record *r)
{
	if (r == &rec.conns[0] && rec.conns[1].tr != NULL)
		pfk_write_eof(rec.conns[1].tr);
}

static void
test_proxy(void)
{
	struct pump *a, *b;
	size_t held;

	begin_pair(&a, &b);
	rec.at[RECORD_EOF] = end_sink;
	is_int(pfk_join(second, first), 0, "%s: and the other way", backend);
	fill_by(a, b);
	ok(a->sent < (size_t)64 << 20, "%s: the slower one sets the pace",
	    backend);
	held = pfk_write_buffered(second);
	ok(held > 0 && held <= CHUNK && pfk_write_buffered(first) == 0,
	    "%s: held bytes are the slower one's: %zu", backend, held);
	/* The other way is free meanwhile. */
	pump_send(b, BULK);
	a->want = BULK;
	ok(unit_run_until(loop, &a->got_all, 1), "%s: the other way is free",
	    backend);
	shutdown(a->fd, SHUT_WR);
	pump_go_on(b);
	unit_run_until(loop, &b->ended, 1);
	is_int(b->got, a->sent, "%s: all comes before the end", backend);
	is_int(rec.calls[RECORD_DATA], 0, "%s: no data_received", backend);
	end("proxy");
}

/* One of two is lost: the other is on its own. */
static void
test_lost_sink(void)
{
	struct pump *a, *b;

	begin_pair(&a, &b);
	pump_stop(b);
	pump_send(a, 8u << 20);
	unit_settle(loop);
	pump_reset(b);
	unit_run_until(loop, &rec.conns[1].calls[RECORD_LOST], 1);
	is_int(rec.calls[RECORD_LOST], 1, "%s: its sink is lost", backend);
	unit_run_until(loop, &a->sent_all, 1);
	ok(unit_run_until(loop, &rec.calls[RECORD_DATA], 1),
	    "%s: data_received again", backend);
	is_int(a->sent, 8u << 20, "%s: all of it is read", backend);
	end("lost sink");
}

static void
test_lost_source(void)
{
	struct pump *a, *b;
	size_t owed;

	begin_pair(&a, &b);
	fill_by(a, b);
	owed = pfk_write_buffered(second);
	ok(owed > 0, "%s: the sink is blocked", backend);
	pfk_abort(first);
	unit_run_until(loop, &rec.conns[0].calls[RECORD_LOST], 1);
	is_int(pfk_write_buffered(second), owed, "%s: read bytes stay",
	    backend);
	pfk_close(second);
	pump_go_on(b);
	ok(unit_run_until(loop, &b->ended, 1) && b->error == 0,
	    "%s: and is sent", backend);
	ok(b->got >= owed, "%s: all of it: %zu", backend, b->got);
	end("lost source");
}

static void
test_errors(void)
{
	struct pfk_loop *own, *other;
	struct pump *a, *b;

	begin_pair(&a, &b);
	other = pfk_loop_new(backend);
	ok(pfk_join(first, first) == -1 && errno == EBUSY,
	    "%s: EBUSY: it has a sink", backend);
	ok(pfk_join(second, second) == -1 && errno == EBUSY,
	    "%s: EBUSY: it has a source", backend);
	own = second->io.loop;
	second->io.loop = other;
	ok(pfk_join(second, first) == -1 && errno == EINVAL,
	    "%s: EINVAL: not of this loop", backend);
	second->io.loop = own;
	pfk_unjoin(first);
	pfk_unjoin(first);
	pfk_write_eof(second);
	ok(pfk_join(first, second) == -1 && errno == EPIPE,
	    "%s: EPIPE: its write side is shut", backend);
	pfk_close(first);
	ok(pfk_join(first, first) == -1 && errno == EPIPE, "%s: EPIPE: closing",
	    backend);
	pfk_loop_free(other);
	end("errors");
}

int
main(void)
{
	for (int i = 0; unit_backends[i] != NULL; i++) {
		backend = unit_backends[i];
		test_bulk_and_quiet();
		test_half_close(false);
		test_half_close(true);
		test_back_pressure();
		test_small_buffer();
		test_reset();
		test_close(false);
		test_close(true);
		test_write();
		test_unjoin();
		test_pause();
		test_empty_pool();
		test_no_descriptor();
		test_many();
		test_proxy();
		test_lost_sink();
		test_lost_source();
		test_errors();
	}
	return done_testing();
}
