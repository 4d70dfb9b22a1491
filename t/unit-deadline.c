/*
 * deadline.c: connections that miss a deadline end, others do not, and the
 * successor of a killed worker goes on with the time. Every case of a loop runs
 * on each back-end.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "event/loop.h"
#include "record.h"
#include "service.h"
#include "tap.h"
#include "unit.h"

#define SHORT (10 * PFK_MSEC_NS)
#define LONG (3600 * PFK_SECOND_NS)

static const char *backend;
static struct pfk_loop *loop;
static struct recorder rec;
static int fds[2], passed;

static void
on_pass(void *arg)
{
	(void)arg;
	passed++;
}

/* Longer than SHORT. */
static void
wait_longer(void)
{
	passed = 0;
	pfk_later(loop, 3 * SHORT, on_pass, NULL);
	unit_run_until(loop, &passed, 1);
}

static struct pfk_transport *
begin(void)
{
	struct pfk_transport *tr;

	loop = pfk_loop_new(backend);
	recorder_init(&rec);
	unit_pair(fds);
	tr = pfk_attach(loop, fds[0], &rec.protocol, &rec);
	unit_run_until(loop, &rec.calls[RECORD_MADE], 1);
	return tr;
}

static void
end(void)
{
	close(fds[1]);
	is_int(pfk_loop_run(loop), 0, "%s: the loop ends", backend);
	is_int(rec.calls[RECORD_LOST], 1, "%s: connection_lost once", backend);
	pfk_loop_free(loop);
}

static void
test_read(void)
{
	struct pfk_transport *tr = begin();
	uint64_t begun = pfk__clock_now();
	char byte;

	is_int(pfk_set_read_deadline(tr, SHORT), 0, "%s: read", backend);
	while (rec.calls[RECORD_LOST] == 0) {
		unit_write(fds[1], "a", 1);
		if (!unit_run_until(loop, &rec.calls[RECORD_DATA],
			rec.calls[RECORD_DATA] + 1))
			break;
	}
	is_int(rec.conns[0].error, ETIMEDOUT, "%s: bytes do not help", backend);
	ok(pfk__clock_now() - begun >= SHORT, "%s: not early", backend);
	unit_settle(loop);
	ok(recv(fds[1], &byte, 1, 0) <= 0, "%s: the peer sees the end",
	    backend);
	end();
}

static void
test_replaced(void)
{
	struct pfk_transport *tr = begin();

	pfk_set_read_deadline(tr, SHORT);
	pfk_set_read_deadline(tr, LONG);
	wait_longer();
	is_int(rec.calls[RECORD_LOST], 0, "%s: a later one counts", backend);
	pfk_set_read_deadline(tr, SHORT);
	pfk_set_read_deadline(tr, 0);
	wait_longer();
	is_int(rec.calls[RECORD_LOST], 0, "%s: none does not", backend);
	pfk_set_read_deadline(tr, UINT64_MAX);
	wait_longer();
	is_int(rec.calls[RECORD_LOST], 0, "%s: nor the latest", backend);
	pfk_set_read_deadline(tr, SHORT);
	ok(unit_run_until(loop, &rec.calls[RECORD_LOST], 1),
	    "%s: an earlier one counts", backend);
	end();
}

static void
test_write(void)
{
	struct pfk_transport *tr = begin();
	char buf[65536];

	pfk_write(tr, "abc", 3);
	pfk_set_write_deadline(tr, SHORT);
	wait_longer();
	is_int(rec.calls[RECORD_LOST], 0, "%s: all is sent in time", backend);
	while (pfk_write_buffered(tr) == 0)
		record_write(tr, sizeof(buf));
	pfk_set_write_deadline(tr, LONG);
	pfk_set_write_deadline(tr, 0);
	wait_longer();
	is_int(rec.calls[RECORD_LOST], 0, "%s: no deadline", backend);
	pfk_set_write_deadline(tr, SHORT);
	/* Some bytes are not all of them. */
	ok(read(fds[1], buf, sizeof(buf)) > 0, "%s: the peer reads", backend);
	ok(unit_run_until(loop, &rec.calls[RECORD_LOST], 1),
	    "%s: but too little", backend);
	is_int(rec.conns[0].error, ETIMEDOUT, "%s: is late", backend);
	end();
}

/* Closing, it still has to send. */
static void
test_closing(void)
{
	struct pfk_transport *tr = begin();

	while (pfk_write_buffered(tr) == 0)
		record_write(tr, 65536);
	pfk_set_write_deadline(tr, SHORT);
	pfk_close(tr);
	ok(unit_run_until(loop, &rec.calls[RECORD_LOST], 1), "%s: closing",
	    backend);
	is_int(rec.conns[0].error, ETIMEDOUT, "%s: it is late, too", backend);
	end();
}

/* in a service */

struct pfk_server *server; /* not static: it is no leak */

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	pfk_set_read_deadline(tr, PFK_SECOND_NS);
	pfk_log(PFK_INFO, "connected");
	return tr;
}

static void *
resumed(struct pfk_transport *tr, void *arg, const void *buf, size_t len)
{
	(void)arg;
	(void)buf;
	(void)len;
	return tr;
}

static void
lost(void *self, int error)
{
	(void)self;
	if (error == ETIMEDOUT)
		pfk_log(PFK_INFO, "missed a deadline");
}

static const struct pfk_protocol slow = {.connection_made = made,
    .connection_lost = lost,
    .connection_resumed = resumed,
    .survives = true,
    .block_bytes = 1};

static int
worker_init(struct pfk_worker *w, void *arg)
{
	static const struct pfk_listen want = {.kind = PFK_TCP,
	    .addr = {.len = sizeof(struct sockaddr_in),
		.in4 = {.sin_family = AF_INET}}};
	struct pfk_listen local = want;
	int fd;

	(void)arg;
	local.addr.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (pfk_worker_listen(w, &local, 1, &fd) == -1)
		return -1;
	server = pfk_serve(pfk_worker_loop(w), fd, &slow, NULL, NULL);
	return server != NULL ? 0 : -1;
}

static void
test_killed(void)
{
	static const struct pfk_hooks hooks = {.worker_init = worker_init};
	char byte;
	int fd;

	service_start(&hooks, 1);
	service_wait(0, "ready: 1 worker");
	fd = service_connect(service_port(), 0);
	service_wait(0, "] connected");
	kill(service_worker(0, 0), SIGKILL);
	ok(service_wait(0, "went on with 1 connection\n") != 0,
	    "the connection survives its worker");
	ok(service_wait(0, "missed a deadline") != 0,
	    "and misses the deadline that the dead one has set");
	ok(recv(fd, &byte, 1, 0) <= 0, "the client sees the end");
	close(fd);
	is_int(service_end(SIGTERM), 0, "exit status");
}

int
main(void)
{
	for (int i = 0; unit_backends[i] != NULL; i++) {
		backend = unit_backends[i];
		test_read();
		test_replaced();
		test_write();
		test_closing();
	}
	test_killed();
	return done_testing();
}
