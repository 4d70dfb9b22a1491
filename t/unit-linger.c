/*
 * tcp.c: a close waits for nothing, also where another process has turned SO_LINGER on
 * at the listener.  With the wait, it is nine hours, and so the test is ended.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "record.h"
#include "tap.h"
#include "unit.h"

#define BIG (8u << 20) /* more than two sockets hold */

static const char *backend;
static struct pfk_loop *loop;
static struct recorder rec;

static void
write_big(struct record *r)
{
	record_write(r->tr, BIG);
}

/* The client reads nothing, and the kernel has unsent bytes. */
static void
test(bool now)
{
	struct linger wait = {.l_onoff = 1, .l_linger = 32400};
	struct pfk_server *server;
	struct pfk_addr addr;
	int listener = unit_listen(&addr), client;

	loop = pfk_loop_new(backend);
	recorder_init(&rec);
	rec.at[RECORD_MADE] = write_big;
	setsockopt(listener, SOL_SOCKET, SO_LINGER, &wait, sizeof(wait));
	server = pfk_serve(loop, listener, &rec.protocol, &rec, NULL);
	client = unit_connect(&addr);
	unit_run_until(loop, &rec.calls[RECORD_PAUSE], 1);
	if (now)
		pfk_loop_drain(loop, PFK_DRAIN_NOW);
	else
		pfk_abort(rec.conns[0].tr);
	ok(unit_run_until(loop, &rec.calls[RECORD_LOST], 1), "%s: %s: it ends",
	    backend, now ? "drained" : "aborted");
	pfk_server_close(&server);
	is_int(pfk_loop_run(loop), 0, "%s: the loop ends", backend);
	pfk_loop_free(loop);
	close(client);
}

int
main(void)
{
	tap_time_limit(30);
	for (const char *const *b = unit_backends; *b != NULL; b++) {
		backend = *b;
		test(true);
		test(false);
	}
	return done_testing();
}
