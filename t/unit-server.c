/*
 * server.c and limits.c: accepting, draining, idleness, admission. Every case
 * runs on each back-end.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "event/loop.h"
#include "record.h"
#include "tap.h"
#include "transport/server.h"
#include "unit.h"

static const char *backend;
static struct pfk_loop *loop;
static struct pfk_server *server;
static struct pfk_addr addr;
static struct recorder rec;
static int fds_before;

#define made rec.calls[RECORD_MADE]
#define lost rec.calls[RECORD_LOST]

static void
begin(const struct pfk_server_options *options)
{
	loop = pfk_loop_new(backend);
	recorder_init(&rec);
	rec.echo = true;
	server = pfk_serve(loop, unit_listen(&addr), &rec.protocol, &rec,
	    options);
}

static void
end(const char *name)
{
	pfk_server_close(&server);
	ok(server == NULL, "%s: %s: close clears the handle", backend, name);
	pfk_server_close(&server);
	is_int(pfk_loop_run(loop), 0, "%s: %s: the loop ends", backend, name);
	ok(lost == made && rec.late == 0,
	    "%s: %s: connection_lost once each, and last", backend, name);
	pfk_loop_free(loop);
	is_int(unit_count_fds(), fds_before, "%s: %s: no descriptor is left",
	    backend, name);
}

/* A new client that has sent abc and waits for nothing. */
static int
new_client(void)
{
	int fd = unit_connect(&addr);

	unit_write(fd, "abc", 3);
	return fd;
}

static bool
is_refused(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool refused = connect(fd, &addr.sa, addr.len) == -1 &&
	    errno == ECONNREFUSED;

	close(fd);
	return refused;
}

static bool
reads(int fd, const char *text)
{
	char buf[16] = "";

	return unit_read(fd, buf, strlen(text)) == (ssize_t)strlen(text) &&
	    strcmp(buf, text) == 0;
}

static bool
reads_end(int fd)
{
	char c;

	return recv(fd, &c, 1, 0) == 0;
}

/* Closed already, and without data? Does not wait. */
static bool
is_cut(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_DONTWAIT) == 0;
}

static bool
is_waiting(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN;
}

/* drain */

static void
test_leave(void)
{
	int clients[5], live, echoed = 0;

	begin(NULL);
	live = new_client();
	unit_run_until(loop, &made, 1);
	for (int i = 0; i < 5; i++)
		clients[i] = new_client();
	pfk_loop_drain(loop, PFK_DRAIN_LEAVE);
	unit_settle(loop);
	is_int(made, 6, "%s: leave: queued clients are accepted", backend);
	ok(is_refused(), "%s: leave: nobody else", backend);
	unit_run_until(loop, &rec.calls[RECORD_DATA], 6);
	for (int i = 0; i < 5; i++)
		echoed += reads(clients[i], "abc");
	is_int(echoed, 5, "%s: leave: and served", backend);
	unit_write(live, "def", 3);
	unit_run_until(loop, &rec.calls[RECORD_DATA], 7);
	ok(reads(live, "abcdef"), "%s: leave: a connection goes on", backend);
	is_int(lost + rec.calls[RECORD_DRAIN], 0, "%s: leave: nobody is told",
	    backend);
	for (int i = 0; i < 5; i++)
		close(clients[i]);
	close(live);
	is_int(pfk_loop_run(loop), 0, "%s: leave: ends with the last", backend);
	end("leave");
}

/* With a member for it the protocol decides, without one they are closed. */
static void
test_stop(bool told)
{
	int clients[3], echoed = 0, ended = 0, live;

	begin(NULL);
	if (!told)
		rec.protocol.draining = NULL;
	live = unit_connect(&addr);
	unit_run_until(loop, &made, 1);
	unit_write(live, "abc", 3);
	for (int i = 0; i < 3; i++)
		clients[i] = new_client();
	pfk_loop_drain(loop, PFK_DRAIN_STOP);
	unit_settle(loop);
	is_int(made, 4, "%s: stop: queued clients are accepted", backend);
	is_int(rec.calls[RECORD_DATA], 4,
	    "%s: stop: received bytes are delivered", backend);
	is_int(rec.calls[RECORD_DRAIN], told ? 4 : 0, "%s: stop: told",
	    backend);
	ok(reads(live, "abc"), "%s: stop: and echoed", backend);
	for (int i = 0; i < 3; i++)
		echoed += reads(clients[i], "abc");
	is_int(echoed, 3, "%s: stop: to all", backend);
	for (int i = 0; i < 3; i++)
		ended += is_cut(clients[i]);
	is_int(ended, told ? 0 : 3, "%s: stop: %s", backend,
	    told ? "the protocol decides" : "then closed");
	for (int i = 0; i < 3; i++)
		close(clients[i]);
	close(live);
	pfk_loop_run(loop);
	end("stop");
}

static void
test_now(void)
{
	int a, fd;

	begin(NULL);
	a = new_client();
	unit_run_until(loop, &rec.calls[RECORD_DATA], 1);
	fd = unit_connect(&addr);
	pfk_loop_drain(loop, PFK_DRAIN_LEAVE);
	pfk_loop_drain(loop, PFK_DRAIN_STOP);
	unit_settle(loop);
	is_int(rec.calls[RECORD_DRAIN], 2, "%s: each goes further", backend);
	pfk_loop_drain(loop, PFK_DRAIN_NOW);
	is_int(lost, 0, "%s: now: not from inside the call", backend);
	is_int(pfk_loop_run(loop), 0, "%s: now: it ends", backend);
	is_int(lost, 2, "%s: now: all are lost", backend);
	is_int(rec.conns[0].error, ECONNABORTED, "%s: now: not as agreed",
	    backend);
	ok(reads(a, "abc") && reads_end(a), "%s: now: no reset of our own",
	    backend);
	close(a);
	close(fd);
	end("now");
}

/* One that has moved since it was last looked at is still told once. */
static void
test_told_once(void)
{
	const struct pfk_server_options busy = {.idle_ns = 2 * PFK_SECOND_NS};
	const uint64_t slack = busy.idle_ns / 16;
	uint64_t start;
	int a, b;

	begin(&busy);
	a = unit_connect(&addr);
	b = unit_connect(&addr);
	unit_run_until(loop, &made, 2);
	start = pfk_loop_now(loop);
	while (pfk_loop_now(loop) - start <= slack)
		unit_settle(loop);
	unit_write(a, "abc", 3);
	pfk_loop_drain(loop, PFK_DRAIN_STOP);
	unit_settle(loop);
	is_int(rec.calls[RECORD_DRAIN], 2, "%s: stop: each is told once",
	    backend);
	close(a);
	close(b);
	unit_run_until(loop, &lost, 2);
	end("told once");
}

/* handles */

static void
close_server(struct record *r)
{
	(void)r;
	pfk_server_close(&server);
}

static void
test_handle(void)
{
	int a, b;

	begin(NULL);
	rec.at[RECORD_MADE] = close_server;
	a = new_client();
	b = new_client();
	unit_run_until(loop, &rec.calls[RECORD_DATA], 1);
	ok(reads(a, "abc"), "%s: closed from inside: that one is served",
	    backend);
	unit_settle(loop);
	is_int(made, 1, "%s: but no other", backend);
	close(a);
	close(b);
	pfk_loop_run(loop);
	end("close inside");
}

/* The connections' TCP_NODELAY, after the listener had another one. */
static void
test_nodelay(int before, const struct pfk_server_options *options, int after)
{
	int fd = unit_listen(&addr), value = -1, client;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &before, sizeof(before));
	loop = pfk_loop_new(backend);
	recorder_init(&rec);
	server = pfk_serve(loop, fd, &rec.protocol, &rec, options);
	client = unit_connect(&addr);
	unit_run_until(loop, &made, 1);
	pfk_extra_info(rec.conns[0].tr, "TCP_NODELAY", &value, sizeof(value));
	is_int(value, after, "%s: TCP_NODELAY, was %d", backend, before);
	close(client);
	end("nodelay");
}

static void
test_serve_fails(void)
{
	struct pfk_addr at;
	int fd = unit_listen(&at);

	begin(NULL);
	errno = 0;
	ok(pfk_serve(loop, -1, &rec.protocol, &rec, NULL) == NULL &&
		errno == EBADF,
	    "%s: no descriptor to serve on", backend);
	ok(fcntl(fd, F_GETFD) != -1, "%s: ours is untouched", backend);
	close(fd);
	end("serve fails");
}

/* idleness */

/* When it was last active, by its record. */
static uint64_t
noted_ns(const struct pfk_transport *tr)
{
	return pfk__record(loop->ledger, tr->io.fd)->stream.active_ns;
}

/* It takes no time: the connection is backdated instead. */
static void
test_idle(void)
{
	struct pfk_server_options o = {.idle_ns = 20 * PFK_SECOND_NS};
	struct pfk_transport *tr;
	struct drinker d;
	int fd;

	begin(&o);
	fd = new_client();
	unit_run_until(loop, &rec.calls[RECORD_DATA], 1);
	tr = rec.conns[0].tr;
	pfk__roster_backdate(tr, o.idle_ns / 2);
	unit_settle(loop);
	is_int(lost, 0, "%s: idle: not early", backend);
	ok(pfk__roster_idle_ns(tr) >= o.idle_ns / 2,
	    "%s: idle: time without traffic counts", backend);
	unit_write(fd, "abc", 3);
	unit_run_until(loop, &rec.calls[RECORD_DATA], 2);
	is_int(lost, 0, "%s: idle: not while there is traffic", backend);
	ok(pfk__roster_idle_ns(tr) < o.idle_ns / 2,
	    "%s: idle: it begins anew with traffic", backend);
	is_int((int64_t)noted_ns(tr), (int64_t)tr->active_ns,
	    "%s: idle: a successor would know of the traffic", backend);
	pfk__roster_backdate(tr, 2 * o.idle_ns);
	drinker_start(&d, loop, fd);
	ok(unit_run_until(loop, &d.ended, 1), "%s: idle: closed", backend);
	is_int(d.error, 0, "%s: idle: without a reset", backend);
	shutdown(fd, SHUT_WR);
	unit_run_until(loop, &lost, 1);
	is_int(rec.conns[0].error, 0, "%s: idle: lost as agreed", backend);
	drinker_close(&d);
	end("idle");
}

static void
fill(struct record *r)
{
	record_write(r->tr, 8u << 20);
}

/* It reads nothing and ends nothing: closing would not end it. */
static void
test_idle_stuck(void)
{
	struct pfk_server_options o = {.idle_ns = 16 * PFK_MSEC_NS};
	int fd;

	begin(&o);
	rec.at[RECORD_MADE] = fill;
	fd = unit_connect(&addr);
	unit_run_until(loop, &made, 1);
	ok(unit_run_until(loop, &lost, 1),
	    "%s: idle: a stuck connection is aborted", backend);
	is_int(rec.conns[0].error, ECONNABORTED, "%s: idle: aborted", backend);
	close(fd);
	end("stuck");
}

/* limits */

static void
test_max_connections(void)
{
	const struct pfk_limits limits = {.max_connections = 2};
	int a, b, c;

	begin(NULL);
	ok(pfk_loop_limit(loop, &limits) == -1 && errno == EBUSY,
	    "%s: limits come before servers", backend);
	pfk_server_close(&server);
	is_int(pfk_loop_limit(loop, &limits), 0, "%s: or when none is left",
	    backend);
	server = pfk_serve(loop, unit_listen(&addr), &rec.protocol, &rec, NULL);
	a = new_client();
	b = new_client();
	c = new_client();
	unit_run_until(loop, &made, 2);
	unit_settle(loop);
	is_int(made, 2, "%s: at most so many connections", backend);
	ok(is_waiting(c), "%s: one more waits", backend);
	ok(reads(b, "abc"), "%s: the others are served", backend);
	close(a);
	ok(unit_run_until(loop, &made, 3), "%s: until one ends", backend);
	unit_run_until(loop, &rec.calls[RECORD_DATA], 3);
	ok(reads(c, "abc"), "%s: then it is served", backend);
	close(b);
	close(c);
	unit_run_until(loop, &lost, 3);
	end("max connections");
}

static void
test_max_per_source(void)
{
	const struct pfk_limits limits = {.max_per_source = 1};
	struct pfk_server *other;
	struct pfk_addr there;
	int a, b, c;

	begin(NULL);
	pfk_server_close(&server);
	pfk_loop_limit(loop, &limits);
	server = pfk_serve(loop, unit_listen(&addr), &rec.protocol, &rec, NULL);
	other = pfk_serve(loop, unit_listen(&there), &rec.protocol, &rec, NULL);
	a = new_client();
	unit_run_until(loop, &rec.calls[RECORD_DATA], 1);
	b = unit_connect(&there);
	unit_settle(loop);
	ok(is_cut(b), "%s: one a source, over all servers", backend);
	is_int(made, 1, "%s: the protocol does not see it", backend);
	close(a);
	unit_run_until(loop, &lost, 1);
	c = new_client();
	ok(unit_run_until(loop, &made, 2), "%s: then the next may", backend);
	close(b);
	close(c);
	unit_run_until(loop, &lost, 2);
	pfk_server_close(&other);
	end("max per source");
}

/* Out of descriptors: one is shed, the others wait, and it does not spin. */
static void
test_out_of_descriptors(void)
{
	struct rlimit old, low;
	uint64_t turns;
	int a, b, c, top;

	begin(NULL);
	a = unit_connect(&addr);
	b = unit_connect(&addr);
	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	top = dup(0);
	low.rlim_cur = (rlim_t)top;
	close(top);
	setrlimit(RLIMIT_NOFILE, &low);
	turns = loop->turns;
	unit_settle(loop);
	is_int(made, 0, "%s: no descriptor, no connection", backend);
	ok(is_cut(a), "%s: the first is shed", backend);
	ok(is_waiting(b), "%s: the second waits", backend);
	ok(loop->turns - turns < 50, "%s: it does not spin: %d turns", backend,
	    (int)(loop->turns - turns));
	setrlimit(RLIMIT_NOFILE, &old);
	ok(unit_run_until(loop, &made, 1), "%s: later it is accepted", backend);
	c = new_client();
	unit_run_until(loop, &rec.calls[RECORD_DATA], 1);
	ok(reads(c, "abc"), "%s: and all is well", backend);
	close(a);
	close(b);
	close(c);
	unit_run_until(loop, &lost, 2);
	end("out of descriptors");
}

int
main(void)
{
	fds_before = unit_count_fds();
	pfk_log_set_level(PFK_ERROR);
	for (int i = 0; unit_backends[i] != NULL; i++) {
		backend = unit_backends[i];
		test_leave();
		test_stop(true);
		test_stop(false);
		test_now();
		test_told_once();
		test_handle();
		test_nodelay(0, NULL, 1);
		test_nodelay(0, &(struct pfk_server_options){0}, 1);
		test_nodelay(1, &(struct pfk_server_options){.nagle = true}, 0);
		test_serve_fails();
		test_idle();
		test_idle_stuck();
		test_max_connections();
		test_max_per_source();
		test_out_of_descriptors();
	}
	return done_testing();
}
