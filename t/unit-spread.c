/*
 * server.c: a stop tells a few connections at once, and many in turn.
 */
#include <prefork.h>
#include <unistd.h>

#include "tap.h"
#include "unit.h"

#define MANY 200
#define FEW 60
#define AT_ONCE 64

static int clients[MANY], made, lost, told, expected;
static uint64_t told_ns[MANY];
static struct pfk_loop *loop;

static void *
on_made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	made++;
	return tr;
}

static void
on_draining(void *self)
{
	told_ns[told++] = pfk_loop_now(loop);
	pfk_close(self);
	/* They are told, every one: now the peers end too. */
	for (int i = 0; told == expected && i < expected; i++)
		close(clients[i]);
}

static void
on_lost(void *self, int error)
{
	(void)self;
	(void)error;
	lost++;
}

static const struct pfk_protocol proto = {.connection_made = on_made,
    .draining = on_draining,
    .connection_lost = on_lost};

/* The most that were told in one turn. */
static int
most_at_once(void)
{
	int most = 0, n = 0;

	for (int i = 0; i < told; i++) {
		n = i > 0 && told_ns[i] == told_ns[i - 1] ? n + 1 : 1;
		most = n > most ? n : most;
	}
	return most;
}

static void
stop(const char *backend, int n)
{
	struct pfk_addr addr;
	int fd = unit_listen(&addr);
	struct pfk_server *s;

	loop = pfk_loop_new(backend);
	s = pfk_serve(loop, fd, &proto, NULL, NULL);
	made = lost = told = 0;
	expected = n;
	for (int i = 0; i < n; i++) {
		clients[i] = unit_connect(&addr);
		if (i % 16 == 15)
			unit_settle(loop);
	}
	if (!unit_run_until(loop, &made, n))
		fail("%s: %d connections", backend, n);
	pfk_loop_drain(loop, PFK_DRAIN_STOP);
	is_int(pfk_loop_run(loop), 0, "%s: a stop with %d", backend, n);
	is_int(told, n, "%s: all are told", backend);
	is_int(lost, n, "%s: all end", backend);
	pfk_server_close(&s);
	pfk_loop_free(loop);
}

int
main(void)
{
	for (int i = 0; unit_backends[i] != NULL; i++) {
		stop(unit_backends[i], FEW);
		is_int(most_at_once(), FEW, "few are told at once");
		stop(unit_backends[i], MANY);
		is_int(most_at_once(), AT_ONCE, "of many so many at once");
		ok(told_ns[MANY - 1] - told_ns[0] >= 30 * PFK_MSEC_NS,
		    "the last a while after the first");
	}
	return done_testing();
}
