/*
 * A callback that was interrupted runs again, and makes no change of a zone twice,
 * though callbacks of another connection commit theirs before it.
 */
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service.h"
#include "tap.h"

#define POINTS_MAX 200
#define MUCH 4000000u

/* The callback that changes the zone. */
enum during {
	MADE,
	RECEIVED,
	EOF_RECEIVED,
	LOST,
	PAUSED,
	MIXED /* data_received, which changes another kind of connection, too */
};
static const char *const names[] = {"connection_made", "data_received",
    "eof_received", "connection_lost", "pause_writing",
    "a change of one that does not survive"};

static struct {
	uint64_t die_at;
	enum during during;
} * test;
static struct pfk_zone *zone;
static struct pfk_sockopts options;
static struct pfk_listen want = {.kind = PFK_TCP, .options = &options};
struct pfk_server *server; /* not static: it is no leak */
static struct pfk_loop *loop;
static struct pfk_transport *witness; /* is told of the changes */
static struct pfk_transport *mortal;  /* does not survive its worker */

static void
change(enum during during)
{
	uint64_t first = 0, second = 0;
	char text[64];

	if (during != test->during)
		return;
	pfk_die_at(loop, test->die_at);
	pfk_zone_add(zone, "n", 1, 1, false, &first);
	if (during == MIXED && mortal != NULL)
		pfk_close(mortal);
	pfk_zone_add(zone, "n", 1, 1, false, &second);
	pfk_write(witness, text,
	    (size_t)snprintf(text, sizeof(text), "%d%d\n", (int)first,
		(int)second));
}

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	if (witness == NULL)
		witness = tr;
	else
		change(MADE);
	*(bool *)pfk_block(tr) = witness == tr;
	return tr;
}

/* Its use of the block makes it a transaction. */
static void *
resumed(struct pfk_transport *tr, void *arg, const void *buf, size_t len)
{
	bool *is_witness = pfk_block(tr);

	(void)arg;
	(void)buf;
	(void)len;
	if (*is_witness)
		witness = tr;
	return tr;
}

static void
received(void *self, const void *buf, size_t len)
{
	static const char much[MUCH];

	(void)buf;
	(void)len;
	if (self == witness)
		pfk_write(self, "hello\n", 6);
	else if (test->during == PAUSED)
		pfk_write(self, much, sizeof(much));
	else
		change(test->during == MIXED ? MIXED : RECEIVED);
}

static bool
eof(void *self)
{
	(void)self;
	change(EOF_RECEIVED);
	return false;
}

static void
lost(void *self, int error)
{
	(void)error;
	if (self != witness)
		change(LOST);
}

static void
paused(void *self)
{
	(void)self;
	change(PAUSED);
}

static const struct pfk_protocol protocol = {.connection_made = made,
    .data_received = received,
    .eof_received = eof,
    .connection_lost = lost,
    .pause_writing = paused,
    .connection_resumed = resumed,
    .survives = true,
    .block_bytes = sizeof(bool)};

static void *
mortal_made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	mortal = tr;
	return tr;
}

static const struct pfk_protocol mortal_protocol = {
    .connection_made = mortal_made};

static int
worker_init(struct pfk_worker *w, void *arg)
{
	int fd, pair[2];

	(void)arg;
	loop = pfk_worker_loop(w);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == -1 ||
	    pfk_attach(loop, pair[0], &mortal_protocol, NULL) == NULL)
		return -1;
	if (pfk_worker_listen(w, &want, 1, &fd) == -1)
		return -1;
	server = pfk_serve(loop, fd, &protocol, NULL, NULL);
	return server != NULL ? 0 : -1;
}

static const struct pfk_hooks hooks = {.worker_init = worker_init};

static void
cause(int fd)
{
	if (test->during == RECEIVED || test->during == PAUSED ||
	    test->during == MIXED)
		send(fd, "x", 1, MSG_NOSIGNAL);
	if (test->during == EOF_RECEIVED || test->during == LOST)
		shutdown(fd, SHUT_WR);
}

/* False: the worker did not die. */
static bool
kill_at(uint64_t point)
{
	char buf[8] = "", number[8] = "";
	int first, second;

	test->die_at = point;
	pfk_zone_put(zone, "n", 1, "0", 1, PFK_ZONE_ALWAYS, NULL);
	service_start(&hooks, 1);
	service_wait(0, "ready: 1 worker");
	first = service_connect(service_port(), 0);
	send(first, "x", 1, MSG_NOSIGNAL);
	recv(first, buf, 6, MSG_WAITALL);
	second = service_connect(service_port(), 0);
	cause(second);
	memset(buf, 0, sizeof(buf));
	recv(first, buf, 3, MSG_WAITALL);
	is_str(buf, "12\n", "%s, point %u: the witness is told once",
	    names[test->during], (unsigned)point);
	pfk_zone_get(zone, "n", 1, number, sizeof(number) - 1, NULL);
	is_str(number, "2", "%s, point %u: the number is changed twice",
	    names[test->during], (unsigned)point);
	close(second);
	close(first);
	is_int(service_end(SIGTERM), 0, "exit status");
	/* One that has ended is none of them. */
	is_int(service_count("could not be continued"), 0,
	    "%s, point %u: no connection is missed", names[test->during],
	    (unsigned)point);
	return service_count("killed by signal 9") > 0;
}

static void
kill_during(enum during during)
{
	uint64_t point = 1;

	test->during = during;
	while (point < POINTS_MAX && kill_at(point))
		point++;
	ok(point > 20 && point < POINTS_MAX, "%s: killed at %u points",
	    names[during], (unsigned)point - 1);
}

int
main(void)
{
	test = mmap(NULL, sizeof(*test), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	zone = pfk_zone_open(NULL, 1 << 20);
	if (test == MAP_FAILED || zone == NULL)
		return 1;
	pfk_sockopts_init(&options);
	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	for (int i = MADE; i <= MIXED; i++)
		kill_during((enum during)i);
	return done_testing();
}
