/*
 * A worker is killed at each point of a hand-over, the giver or the taker: each
 * connection is then in one process, and none is lost.
 */
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service.h"
#include "tap.h"

#define CLIENTS 3
#define POINTS_MAX 200

enum side { GIVER, TAKER };

static volatile struct plan {
	enum side side;
	uint64_t point; /* at which it dies; 0: it does not */
	bool reloaded;
	bool died;
} * plan;

static struct pfk_sockopts options;
static struct pfk_listen want = {.kind = PFK_TCP, .options = &options};
static struct pfk_loop *loop;
struct pfk_server *server; /* not static: it is no leak */

/* the service: echo */

static void *
connection_made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	return tr;
}

static void
data_received(void *self, const void *buf, size_t len)
{
	pfk_write(self, buf, len);
}

static void
connection_lost(void *self, int error)
{
	(void)self;
	if (error != PFK_HANDED_OVER)
		pfk_log(PFK_INFO, "a connection has ended");
}

static void
die_in(enum side side)
{
	if (plan->side != side || plan->point == 0)
		return;
	pfk_die_at(loop, plan->point);
	plan->point = 0;
	plan->died = true;
}

static ssize_t
hand_over(void *self, void *buf, size_t room)
{
	(void)self;
	(void)buf;
	(void)room;
	die_in(GIVER);
	return 0;
}

static void *
connection_resumed(struct pfk_transport *tr, void *arg, const void *buf,
    size_t len)
{
	(void)arg;
	(void)buf;
	(void)len;
	return tr;
}

static const struct pfk_protocol echo = {.connection_made = connection_made,
    .data_received = data_received,
    .connection_lost = connection_lost,
    .hand_over = hand_over,
    .connection_resumed = connection_resumed,
    .survives = true};

static int
worker_init(struct pfk_worker *w, void *arg)
{
	int fd;

	(void)arg;
	if (pfk_worker_listen(w, &want, 1, &fd) == -1)
		return -1;
	loop = pfk_worker_loop(w);
	server = pfk_serve(loop, fd, &echo, NULL, NULL);
	if (server == NULL)
		return -1;
	if (plan->reloaded)
		die_in(TAKER);
	return 0;
}

static int
on_reload(struct pfk_master_config *config, void *arg)
{
	(void)config;
	(void)arg;
	plan->reloaded = true;
	return 0;
}

static const struct pfk_hooks hooks = {.worker_init = worker_init,
    .on_reload = on_reload};

/* the test */

static int
connect_to(uint16_t port)
{
	struct timeval patience = {.tv_sec = 10};
	struct pfk_addr a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	pfk_addr_parse(&a, "127.0.0.1", port);
	if (fd == -1 || connect(fd, &a.sa, a.len) == -1)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

/* Whether the connection is served: its byte comes back, once. */
static bool
is_served(int fd, char byte)
{
	char buf[8];

	return send(fd, &byte, 1, MSG_NOSIGNAL) == 1 &&
	    recv(fd, buf, sizeof(buf), 0) == 1 && buf[0] == byte;
}

static int
count_served(const int *clients, char byte)
{
	int n = 0;

	for (int i = 0; i < CLIENTS; i++)
		n += is_served(clients[i], byte);
	return n;
}

/* Each sends its end, and gets one. */
static int
count_ended(const int *clients)
{
	char byte;
	int n = 0;

	for (int i = 0; i < CLIENTS; i++) {
		shutdown(clients[i], SHUT_WR);
		n += recv(clients[i], &byte, 1, 0) == 0;
		close(clients[i]);
	}
	return n;
}

/* False: that point comes after the hand-over. */
static bool
die_at(enum side side, uint64_t point)
{
	const char *at = "serving on tcp 127.0.0.1:";
	const char *who = side == GIVER ? "giver" : "taker";
	int clients[CLIENTS];
	bool killed;
	uint16_t port;
	size_t end;

	*plan = (struct plan){.side = side};
	service_start(&hooks, 1);
	service_wait(0, "ready: 1 worker");
	port = (uint16_t)atoi(service_log() + service_wait(0, at));
	for (int i = 0; i < CLIENTS; i++)
		clients[i] = connect_to(port);
	is_int(count_served(clients, 'a'), CLIENTS, "%s %u: all are served",
	    who, (unsigned)point);
	plan->point = point;
	service_signal(SIGHUP);
	end = service_wait(service_wait(0, "reloaded: 1 worker"), "has ended");
	ok(end != 0, "%s %u: the predecessor ends", who, (unsigned)point);
	killed = service_count("killed by signal 9") > 0;
	is_int(count_served(clients, 'b'), CLIENTS, "%s %u: all go on", who,
	    (unsigned)point);
	is_int(count_ended(clients), CLIENTS, "%s %u: all end", who,
	    (unsigned)point);
	for (int i = 0; i < CLIENTS && end != 0; i++)
		end = service_wait(end, "a connection has ended");
	ok(end != 0, "%s %u: which is logged", who, (unsigned)point);
	is_int(service_end(SIGTERM), 0, "exit status");
	is_int(service_count("a connection has ended"), CLIENTS,
	    "%s %u: each in one process", who, (unsigned)point);
	if (service_count("a connection has ended") != CLIENTS)
		diag("%s", service_log());
	return killed;
}

static void
at_each_point(enum side side)
{
	uint64_t point = 1;

	while (point < POINTS_MAX && die_at(side, point))
		point++;
	ok(point > 3 * CLIENTS && point < POINTS_MAX, "%u points",
	    (unsigned)point);
}

int
main(void)
{
	plan = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (plan == MAP_FAILED)
		skip_all("no shared memory");
	pfk_sockopts_init(&options);
	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	at_each_point(TAKER);
	at_each_point(GIVER);
	return done_testing();
}
