/*
 * unit-join-urgent.c: urgent data by joined transports: an urgent byte before,
 * in and behind bulk, where splice(2) stops. Every case runs on each back-end.
 */
#include <string.h>

#include "event/loop.h"
#include "pump.h"
#include "record.h"
#include "tap.h"
#include "transport/tcp.h"
#include "unit.h"

#define BULK (6u << 20)

static const char *backend;
static struct pfk_loop *loop;
static struct pfk_server *server;
static struct pfk_addr addr;
static struct recorder rec;
static struct pump pumps[2];
static int clients;

#define first (rec.conns[0].tr)
#define second (rec.conns[1].tr)

static void
begin(void)
{
	clients = 0;
	loop = pfk_loop_new(backend);
	recorder_init(&rec);
	server = pfk_serve(loop, unit_listen(&addr), &rec.protocol, &rec, NULL);
}

/* With SO_OOBINLINE or without. */
static struct pump *
connect_pump(bool in_line)
{
	struct pump *p = &pumps[clients];
	int on = in_line;

	pump_open(p, loop, unit_connect(&addr));
	p->skips = !in_line;
	unit_run_until(loop, &rec.calls[RECORD_MADE], ++clients);
	setsockopt(rec.conns[clients - 1].tr->io.fd, SOL_SOCKET, SO_OOBINLINE,
	    &on, sizeof(on));
	return p;
}

static void
end(const char *name)
{
	for (int i = 0; i < clients; i++) {
		is_int(pumps[i].wrong, 0, "%s: %s: no byte is wrong", backend,
		    name);
		pump_close(&pumps[i]);
	}
	ok(unit_run_until(loop, &rec.calls[RECORD_LOST], clients),
	    "%s: %s: connection_lost", backend, name);
	is_int(loop->pipes.count, loop->pipes.idle_len,
	    "%s: %s: every pipe is back", backend, name);
	pfk_server_close(&server);
	pfk_loop_free(loop);
}

static void
run_until_back(struct pump *from, struct pump *to)
{
	to->want = from->to_send - (from->skips ? (size_t)from->n_marks : 0);
	to->got_all = to->got >= to->want;
	unit_run_until(loop, &to->got_all, 1);
}

/*
 * b: bulk, s: some bytes, u: an urgent one, w: wait until all is back,
 * f: the end.
 */
static void
send_by(const char *script, struct pump *from, struct pump *to)
{
	for (; *script != '\0'; script++) {
		if (*script == 'b' || *script == 's') {
			pump_send(from, *script == 'b' ? BULK : 100);
			unit_run_until(loop, &from->sent_all, 1);
		} else if (*script == 'u') {
			pump_send_urgent(from);
		} else if (*script == 'w') {
			run_until_back(from, to);
		} else {
			shutdown(from->fd, SHUT_WR);
		}
	}
	run_until_back(from, to);
}

static void
is_all_back(const char *name, const struct pump *from, struct pump *to)
{
	uint64_t turns = loop->turns;

	is_int(to->got, to->want, "%s: %s: all comes", backend, name);
	unit_settle(loop);
	ok(loop->turns - turns < 100, "%s: %s: and the loop waits", backend,
	    name);
	is_int(to->got, to->want, "%s: %s: no more than that", backend, name);
	if (from->fd == to->fd && strchr(name, 'f') != NULL)
		ok(unit_run_until(loop, &to->ended, 1) && to->error == 0,
		    "%s: %s: then the end", backend, name);
	else
		is_int(rec.calls[RECORD_LOST], 0, "%s: %s: it stays", backend,
		    name);
}

static void
test_urgent(bool in_line, const char *script)
{
	struct pump *p;

	begin();
	p = connect_pump(in_line);
	is_int(pfk_join(first, first), 0, "%s: joined", backend);
	send_by(script, p, p);
	is_all_back(script, p, p);
	end(script);
}

static void
test_urgent_proxy(bool in_line, const char *script)
{
	struct pump *a, *b;

	begin();
	a = connect_pump(in_line);
	b = connect_pump(in_line);
	is_int(pfk_join(first, second), 0, "%s: joined, one way", backend);
	is_int(pfk_join(second, first), 0, "%s: and the other way", backend);
	a->source = b;
	b->source = a;
	/* Their bytes pass each other. */
	pump_send(b, BULK);
	send_by(script, a, b);
	run_until_back(b, a);
	send_by(script, b, a);
	is_all_back(script, a, b);
	is_all_back(script, b, a);
	end(script);
}

static void
test_all_urgent(void)
{
	static const char *const scripts[] = {"bwsu", "bus", "bwub", "ub",
	    "buf", "busf", "bwuf", "buwbuswsuwbuf"};
	/* A mark that is not read yet is no mark after the next one. */
	static const char *const dense[] = {"buus", "bubusuuf"};

	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		test_urgent(true, scripts[i]);
		test_urgent(false, scripts[i]);
	}
	for (size_t i = 0; i < sizeof(dense) / sizeof(dense[0]); i++)
		test_urgent(true, dense[i]);
	for (int i = 0; i < 2; i++) {
		test_urgent_proxy(i, "bwsu");
		test_urgent_proxy(i, "bus");
		test_urgent_proxy(i, "bwubwsuwb");
	}
}

int
main(void)
{
	for (int i = 0; unit_backends[i] != NULL; i++) {
		backend = unit_backends[i];
		test_all_urgent();
	}
	return done_testing();
}
