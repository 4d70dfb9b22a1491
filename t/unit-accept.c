/*
 * acceptor.c: how connections come in. Every case runs on each back-end.
 */
#include <unistd.h>

#include "event/loop.h"
#include "record.h"
#include "tap.h"
#include "unit.h"

#define CLIENTS 10

static const char *backend;
static struct pfk_loop *loop;
static struct pfk_server *server;
static struct pfk_addr addr;
static struct recorder rec;

#define made rec.calls[RECORD_MADE]
#define lost rec.calls[RECORD_LOST]

static void
begin(void)
{
	loop = pfk_loop_new(backend);
	recorder_init(&rec);
	rec.echo = true;
	server = pfk_serve(loop, unit_listen(&addr), &rec.protocol, &rec, NULL);
}

static void
end(const char *name)
{
	pfk_server_close(&server);
	is_int(pfk_loop_run(loop), 0, "%s: %s: the loop ends", backend, name);
	is_int(lost, made, "%s: %s: connection_lost once each", backend, name);
	pfk_loop_free(loop);
}

/* A new client that has sent abc and waits for nothing. */
static int
new_client(void)
{
	int fd = unit_connect(&addr);

	unit_write(fd, "abc", 3);
	return fd;
}

static void
test_batch(void)
{
	int clients[CLIENTS], turns;

	begin();
	for (int i = 0; i < CLIENTS; i++)
		clients[i] = new_client();
	turns = (int)loop->turns;
	unit_run_until(loop, &rec.calls[RECORD_DATA], CLIENTS);
	ok(loop->turns - (uint64_t)turns < 4, "%s: all at once, in %d turns",
	    backend, (int)loop->turns - turns);
	is_int(loop->work, CLIENTS * (PFK__WORK_UNIT + 3), "%s: work", backend);
	for (int i = 0; i < CLIENTS; i++)
		close(clients[i]);
	unit_run_until(loop, &lost, CLIENTS);
	end("batch");
}

static __attribute__((noinline)) void
dirty_stack(void)
{
	volatile char dirt[65536];

	for (size_t i = 0; i < sizeof(dirt); i++)
		dirt[i] = 'x';
}

/* All of it goes to another process in a hand-over. */
static void
test_peer(void)
{
	static const char zeros[sizeof(struct sockaddr_in6)];
	size_t len = sizeof(struct sockaddr_in);
	const struct pfk_addr *peer;
	int client;

	begin();
	client = new_client();
	dirty_stack();
	unit_run_until(loop, &made, 1);
	peer = pfk_peername(rec.conns[0].tr);
	is_int(peer->len, len, "%s: a peer by IPv4", backend);
	is_mem((const char *)&peer->in6 + len, zeros, sizeof(peer->in6) - len,
	    "%s: nothing of the stack beside its address", backend);
	close(client);
	unit_run_until(loop, &lost, 1);
	end("peer");
}

int
main(void)
{
	for (int i = 0; unit_backends[i] != NULL; i++) {
		backend = unit_backends[i];
		test_batch();
		test_peer();
	}
	return done_testing();
}
