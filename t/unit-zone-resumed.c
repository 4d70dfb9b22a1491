/*
 * A connection_resumed that uses its block commits that.  The callback that was
 * interrupted and comes then still finds its changes of a zone, and makes none twice.
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

static volatile uint64_t *die_at;
static struct pfk_zone *zone;
static struct pfk_sockopts options;
static struct pfk_listen want = {.kind = PFK_TCP, .options = &options};
struct pfk_server *server; /* not static: it is no leak */
static struct pfk_loop *loop;

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	return tr;
}

static void *
resumed(struct pfk_transport *tr, void *arg, const void *buf, size_t len)
{
	(void)arg;
	(void)buf;
	(void)len;
	++*(int *)pfk_block(tr);
	return tr;
}

static void
received(void *self, const void *buf, size_t len)
{
	uint64_t first, second;
	char text[64];

	(void)buf;
	(void)len;
	pfk_die_at(loop, *die_at);
	pfk_zone_add(zone, "n", 1, 1, false, &first);
	pfk_zone_add(zone, "n", 1, 1, false, &second);
	pfk_write(self, text,
	    (size_t)snprintf(text, sizeof(text), "%d%d\n", (int)first,
		(int)second));
}

static const struct pfk_protocol protocol = {.connection_made = made,
    .data_received = received,
    .connection_resumed = resumed,
    .survives = true,
    .block_bytes = sizeof(int)};

static int
worker_init(struct pfk_worker *w, void *arg)
{
	int fd;

	(void)arg;
	loop = pfk_worker_loop(w);
	if (pfk_worker_listen(w, &want, 1, &fd) == -1)
		return -1;
	server = pfk_serve(loop, fd, &protocol, NULL, NULL);
	return server != NULL ? 0 : -1;
}

static const struct pfk_hooks hooks = {.worker_init = worker_init};

/* False: the worker did not die. */
static bool
kill_at(uint64_t point)
{
	char buf[8] = "", number[8] = "";
	int fd;

	*die_at = point;
	pfk_zone_put(zone, "n", 1, "0", 1, PFK_ZONE_ALWAYS, NULL);
	service_start(&hooks, 1);
	service_wait(0, "ready: 1 worker");
	fd = service_connect(service_port(), 0);
	send(fd, "x", 1, MSG_NOSIGNAL);
	recv(fd, buf, 3, MSG_WAITALL);
	is_str(buf, "12\n", "point %u: the answer", (unsigned)point);
	pfk_zone_get(zone, "n", 1, number, sizeof(number) - 1, NULL);
	is_str(number, "2", "point %u: changed twice", (unsigned)point);
	close(fd);
	is_int(service_end(SIGTERM), 0, "exit status");
	return service_count("killed by signal 9") > 0;
}

int
main(void)
{
	uint64_t point = 1;

	pfk_sockopts_init(&options);
	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	die_at = mmap(NULL, sizeof(*die_at), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	zone = pfk_zone_open(NULL, 1 << 20);
	if (die_at == MAP_FAILED || zone == NULL)
		return 1;
	while (point < POINTS_MAX && kill_at(point))
		point++;
	ok(point > 20 && point < POINTS_MAX, "killed at %u points",
	    (unsigned)point - 1);
	return done_testing();
}
