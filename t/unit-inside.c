/*
 * tcp.c: calls from inside each callback: close, abort and drain from inside
 * each of them.  Every case runs on each back-end.
 */
#include <string.h>
#include <unistd.h>

#include "record.h"
#include "tap.h"
#include "unit.h"

static const char *backend;
static struct pfk_loop *loop;
static struct pfk_server *server;
static struct pfk_addr addr;
static struct recorder rec;
static int client, fds_before;

/* A server and nobody connected yet. */
static void
begin(void)
{
	fds_before = unit_count_fds();
	loop = pfk_loop_new(backend);
	recorder_init(&rec);
	server = pfk_serve(loop, unit_listen(&addr), &rec.protocol, &rec, NULL);
}

/* In every case lost came once and last, and nothing is left. */
static void
end(const char *name)
{
	bool lost = unit_run_until(loop, &rec.calls[RECORD_LOST],
	    rec.calls[RECORD_MADE]);

	unit_settle(loop);
	ok(lost && rec.late == 0 &&
		rec.calls[RECORD_LOST] == rec.calls[RECORD_MADE],
	    "%s: %s: connection_lost once, and last", backend, name);
	pfk_server_close(&server);
	is_int(pfk_loop_run(loop), 0, "%s: %s: the loop ends", backend, name);
	pfk_loop_free(loop);
	close(client);
	is_int(unit_count_fds(), fds_before, "%s: %s: no descriptor is left",
	    backend, name);
}

static void
write_big(struct record *r)
{
	record_write(r->tr, 8u << 20); /* more than two sockets hold */
}

/* Closing or aborting from inside every callback. */

static void
close_it(struct record *r)
{
	pfk_close(r->tr);
}

static void
abort_it(struct record *r)
{
	pfk_abort(r->tr);
	pfk_write(r->tr, "x", 1);
	pfk_write_eof(r->tr);
	pfk_pause_reading(r->tr);
	pfk_resume_reading(r->tr);
	pfk_close(r->tr);
}

static void
drain_stop(void *arg)
{
	(void)arg;
	pfk_loop_drain(loop, PFK_DRAIN_STOP);
}

static void
test_end_inside(enum record_point point, bool keep_eof,
    void (*action)(struct record *r), const char *name)
{
	struct drinker d;

	begin();
	rec.keep_eof = keep_eof;
	if (point == RECORD_PAUSE || point == RECORD_RESUME)
		rec.at[RECORD_MADE] = write_big;
	rec.at[point] = action;
	client = unit_connect(&addr);
	unit_write(client, "abc", 3);
	if (point == RECORD_DRAIN)
		pfk_later(loop, 2 * PFK_MSEC_NS, drain_stop, NULL);
	else if (point != RECORD_PAUSE && point != RECORD_RESUME)
		shutdown(client, SHUT_WR);
	drinker_start(&d, loop, client);
	unit_run_until(loop, &rec.calls[RECORD_MADE], 1);
	unit_run_until(loop, &d.ended, 1);
	shutdown(client, SHUT_WR);
	/* A drained loop does not wait for the drinker. */
	pfk_io_cancel(&d.io);
	is_int(d.wrong, 0, "%s: %s: nothing wrong is sent", backend, name);
	ok(rec.calls[point] > 0, "%s: %s: was there", backend, name);
	end(name);
}

static void
test_ends_inside(void)
{
	static const struct {
		enum record_point point;
		const char *close, *abort;
	} points[] = {
	    {RECORD_MADE, "close in connection_made", "abort there"},
	    {RECORD_DATA, "close in data_received", "abort there"},
	    {RECORD_EOF, "close in eof_received", "abort there"},
	    {RECORD_PAUSE, "close in pause_writing", "abort there"},
	    {RECORD_RESUME, "close in resume_writing", "abort there"},
	    {RECORD_DRAIN, "close in draining", "abort there"},
	    {RECORD_LOST, "close in connection_lost", "abort there"},
	};

	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		test_end_inside(points[i].point, false, close_it,
		    points[i].close);
		test_end_inside(points[i].point, false, abort_it,
		    points[i].abort);
	}
	test_end_inside(RECORD_EOF, true, close_it, "close, and stay");
	test_end_inside(RECORD_EOF, true, abort_it, "abort, and stay");
}

static void *
keep(struct pfk_transport *tr, void *arg)
{
	*(struct pfk_transport **)arg = tr;
	return arg;
}

static bool intact;
static int deliveries;

static void
drain_inside(void *self, const void *buf, size_t len)
{
	(void)self;
	if (deliveries++ > 0)
		return;
	unit_write(client, "xyz", 3);
	pfk_loop_drain(loop, PFK_DRAIN_STOP);
	intact = len == 3 && memcmp(buf, "abc", 3) == 0;
}

/* The bytes being delivered are the callee's until it returns. */
static void
test_drain_inside(void)
{
	static const struct pfk_protocol proto = {.connection_made = keep,
	    .data_received = drain_inside};
	struct pfk_transport *tr;

	begin();
	pfk_server_close(&server);
	server = pfk_serve(loop, unit_listen(&addr), &proto, &tr, NULL);
	client = unit_connect(&addr);
	unit_write(client, "abc", 3);
	deliveries = 0;
	unit_run_until(loop, &deliveries, 2);
	ok(intact, "%s: drain inside: the buffer stays", backend);
	is_int(deliveries, 2, "%s: drain inside: the rest comes", backend);
	shutdown(client, SHUT_WR);
	pfk_loop_run(loop);
	end("drain inside");
}

int
main(void)
{
	for (int i = 0; unit_backends[i] != NULL; i++) {
		backend = unit_backends[i];
		test_ends_inside();
		test_drain_inside();
	}
	return done_testing();
}
