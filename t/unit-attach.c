/*
 * attach.c: sockets of the program's own as connections. Every case runs on each
 * back-end.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "event/loop.h"
#include "record.h"
#include "tap.h"
#include "unit.h"

static const char *backend;
static struct pfk_loop *loop;
static struct recorder rec;
static int fds_before;

static void
begin(void)
{
	loop = pfk_loop_new(backend);
	recorder_init(&rec);
	rec.echo = true;
}

static void
end(const char *name)
{
	is_int(pfk_loop_run(loop), 0, "%s: %s: the loop ends", backend, name);
	is_int(rec.calls[RECORD_LOST], rec.calls[RECORD_MADE],
	    "%s: %s: connection_lost once each", backend, name);
	pfk_loop_free(loop);
	is_int(unit_count_fds(), fds_before, "%s: %s: no descriptor is left",
	    backend, name);
}

static void
test_pair(void)
{
	char peer[PFK_ADDR_SIZE], buf[16] = "";
	struct pfk_transport *tr;
	int fds[2];

	begin();
	unit_pair(fds);
	unit_write(fds[1], "abc", 3);
	tr = pfk_attach(loop, fds[0], &rec.protocol, &rec);
	ok(tr != NULL, "%s: a socket pair", backend);
	is_int(rec.calls[RECORD_MADE], 0, "%s: nothing is called at once",
	    backend);
	is_int(pfk_write(tr, "-", 1), 0, "%s: it can be written to", backend);
	unit_run_until(loop, &rec.calls[RECORD_DATA], 1);
	ok(rec.conns[0].tr == tr, "%s: connection_made gets it", backend);
	is_str(rec.conns[0].text, "abc", "%s: received", backend);
	unit_read(fds[1], buf, 4);
	is_str(buf, "-abc", "%s: sent", backend);
	is_str(pfk_addr_format(peer, pfk_peername(tr)), "unix",
	    "%s: the peer has an address", backend);
	ok(pfk_transport_server(tr) == NULL, "%s: no server", backend);
	close(fds[1]);
	unit_run_until(loop, &rec.calls[RECORD_LOST], 1);
	is_int(rec.conns[0].error, 0, "%s: ended by the peer", backend);
	is_int(rec.calls[RECORD_EOF], 1, "%s: who was heard", backend);
	end("pair");
}

static void
end_user(void *user)
{
	++*(int *)user;
}

/* A server's connections count, and its pointer goes with the last one. */
static void
test_server(void)
{
	struct pfk_addr addr;
	struct pfk_server *server;
	int first = 0, second = 0, client;

	begin();
	server = pfk_serve(loop, unit_listen(&addr), &rec.protocol, &rec, NULL);
	ok(pfk_server_user(server) == NULL, "%s: no pointer at first", backend);
	pfk_server_set_user(server, &first, end_user);
	pfk_server_set_user(server, &second, end_user);
	ok(pfk_server_user(server) == &second && first == 1,
	    "%s: another pointer releases the first", backend);
	client = unit_connect(&addr);
	is_int(pfk_loop_connections(loop), 0, "%s: none yet", backend);
	unit_run_until(loop, &rec.calls[RECORD_MADE], 1);
	is_int(pfk_server_connections(server), 1, "%s: the server has one",
	    backend);
	is_int(pfk_loop_connections(loop), 1, "%s: and so has the loop",
	    backend);
	ok(pfk_transport_server(rec.conns[0].tr) == server, "%s: by it",
	    backend);
	pfk_server_close(&server);
	is_int(second, 0, "%s: a closed server has its pointer", backend);
	close(client);
	end("server");
	is_int(second, 1, "%s: until its last connection is gone", backend);
}

static void
abort_it(struct record *r)
{
	pfk_abort(r->tr);
}

/* An order to stop before connection_made. */
static void
test_drain(enum pfk_drain how, int made)
{
	int fds[2];

	begin();
	rec.at[RECORD_DRAIN] = abort_it;
	unit_pair(fds);
	pfk_loop_drain(loop, how);
	pfk_attach(loop, fds[0], &rec.protocol, &rec);
	is_int(pfk_loop_run(loop), 0, "%s: drain %d: it ends", backend,
	    (int)how);
	is_int(rec.calls[RECORD_MADE], made, "%s: drain %d: made", backend,
	    (int)how);
	is_int(rec.calls[RECORD_DRAIN], made, "%s: drain %d: told", backend,
	    (int)how);
	close(fds[1]);
	end("drain");
}

int
main(void)
{
	fds_before = unit_count_fds();
	pfk_log_set_level(PFK_ERROR);
	for (int i = 0; unit_backends[i] != NULL; i++) {
		backend = unit_backends[i];
		test_pair();
		test_server();
		test_drain(PFK_DRAIN_STOP, 1);
		test_drain(PFK_DRAIN_NOW, 0);
	}
	return done_testing();
}
