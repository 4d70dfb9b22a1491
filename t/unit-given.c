/*
 * A worker is killed at each point of a hand-over, the giver or the taker, or the
 * taker and then the giver: each connection is then in one process, none is lost,
 * and its unsent bytes come once and in order.
 */
#include <errno.h>
#include <poll.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "echo.h"
#include "service.h"
#include "tap.h"

#define CLIENTS 3
#define POINTS_MAX 200
#define BUFFER 16384
/* So many for each client that came after it, too: more than the buffers hold. */
#define UNREAD 70000
/* After so many, bytes go through a pipe. */
#define WARM 2000000

/* BOTH: the taker at the point, and the giver when it gives again. */
enum side { GIVER, TAKER, BOTH };
static const char *const names[] = {"giver", "taker", "both"};

static volatile struct plan {
	enum side side;
	uint64_t point; /* at which it dies; 0: it does not */
	bool reloaded;
	bool died;
	bool died_again;
	bool joined; /* by pfk_join, and not by pfk_write */
} * plan;

static char unread[WARM];

static struct pfk_sockopts options;
static struct pfk_listen want = {.kind = PFK_TCP, .options = &options};
static struct pfk_loop *loop;
static int given; /* how often this worker was asked for a connection's state */

/* the service: echo */

static void *
connection_made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	if (plan->joined)
		pfk_join(tr, tr);
	return tr;
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
	if (plan->side == BOTH && side == GIVER && plan->died &&
	    !plan->died_again && given++ == CLIENTS) {
		plan->died_again = true;
		pfk_die_at(loop, 1);
	}
	if ((plan->side != side && (plan->side != BOTH || side != TAKER)) ||
	    plan->point == 0)
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
	if (plan->joined)
		pfk_join(tr, tr);
	return tr;
}

static const struct pfk_protocol echo = {.connection_made = connection_made,
    .data_received = echo_received,
    .connection_lost = connection_lost,
    .hand_over = hand_over,
    .connection_resumed = connection_resumed,
    .survives = true};

static int
worker_init(struct pfk_worker *w, void *arg)
{
	(void)arg;
	loop = pfk_worker_loop(w);
	if (echo_serve(w, &want, &echo) == -1)
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
count_served(const int *clients, char byte)
{
	int n = 0;

	for (int i = 0; i < CLIENTS; i++)
		n += service_echoes(clients[i], byte);
	return n;
}

/*
 * Send and receive: the bytes up to `to`, and if it is not 0 until all have come
 * back.  Returns how many have been sent.
 */
static size_t
exchange(int fd, size_t to)
{
	static char buf[65536];
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
	size_t sent = 0, got = 0;

	while (got < to && poll(&p, 1, 10000) == 1) {
		ssize_t n = 0;

		if ((p.revents & POLLIN) != 0)
			n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n > 0 && memcmp(buf, unread + got, (size_t)n) == 0)
			got += (size_t)n;
		else if ((p.revents & POLLIN) != 0)
			break;
		n = send(fd, unread + sent, to - sent,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		sent += n > 0 ? (size_t)n : 0;
		p.events = POLLIN | (sent < to ? POLLOUT : 0);
	}
	return got;
}

/*
 * The last client gets the lowest descriptor, so that a successor, which begins
 * with the oldest connection, does not rebuild them in the order of descriptors.
 */
static void
connect_all(int *clients, uint16_t port)
{
	int first = service_connect(port, BUFFER);

	ok(service_echoes(first, '0'), "a client that leaves is served");
	for (int i = 0; i < CLIENTS - 1; i++) {
		clients[i] = service_connect(port, BUFFER);
		service_echoes(clients[i], '0');
	}
	close(first);
	service_wait(0, "a connection has ended");
	clients[CLIENTS - 1] = service_connect(port, BUFFER);
}

static size_t
unread_of(size_t client)
{
	return (CLIENTS - client) * UNREAD;
}

/* As many bytes as find room, and the client reads none. */
static void
send_unread(const int *clients, size_t *sent)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		struct pollfd p = {.fd = clients[i], .events = POLLOUT};

		sent[i] = 0;
		while (sent[i] < unread_of(i) && poll(&p, 1, 100) == 1) {
			ssize_t n = send(clients[i], unread + sent[i],
			    unread_of(i) - sent[i],
			    MSG_NOSIGNAL | MSG_DONTWAIT);

			sent[i] += n > 0 ? (size_t)n : 0;
		}
	}
}

static int
count_read(const int *clients, const size_t *sent)
{
	static char buf[CLIENTS * UNREAD];
	int n = 0;

	for (size_t i = 0; i < CLIENTS; i++) {
		ssize_t got = recv(clients[i], buf, sent[i], MSG_WAITALL);
		const char *error = got == -1 ? strerror(errno) : "";

		if (got == (ssize_t)sent[i] &&
		    memcmp(buf, unread, sent[i]) == 0)
			n++;
		else
			diag("client %zu: %zd of %zu bytes %s", i, got, sent[i],
			    error);
	}
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
die_at(enum side side, bool joined, uint64_t point)
{
	const char *at = "serving on tcp 127.0.0.1:";
	const char *who = names[side];
	int clients[CLIENTS];
	size_t sent[CLIENTS];
	bool killed, good;
	uint16_t port;
	size_t end;

	*plan = (struct plan){.side = side, .joined = joined};
	service_start(&hooks, 1);
	service_wait(0, "ready: 1 worker");
	port = (uint16_t)atoi(service_log() + service_wait(0, at));
	connect_all(clients, port);
	is_int(count_served(clients, 'a'), CLIENTS, "%s %u: all are served",
	    who, (unsigned)point);
	for (int i = 0; i < CLIENTS && plan->joined; i++)
		is_int((int)exchange(clients[i], WARM), WARM, "warm");
	send_unread(clients, sent);
	plan->point = point;
	service_signal(SIGHUP);
	end = service_wait(service_wait(0, "reloaded: 1 worker"), "has ended");
	ok(end != 0, "%s %u: the predecessor ends", who, (unsigned)point);
	killed = service_count("killed by signal 9") > 0;
	good = is_int(count_read(clients, sent), CLIENTS,
	    "%s %u: no byte is lost", who, (unsigned)point);
	is_int(count_served(clients, 'b'), CLIENTS, "%s %u: all go on", who,
	    (unsigned)point);
	is_int(count_ended(clients), CLIENTS, "%s %u: all end", who,
	    (unsigned)point);
	for (int i = 0; i < CLIENTS && end != 0; i++)
		end = service_wait(end, "a connection has ended");
	ok(end != 0, "%s %u: which is logged", who, (unsigned)point);
	is_int(service_end(SIGTERM), 0, "exit status");
	is_int(service_count("a connection has ended"), CLIENTS + 1,
	    "%s %u: each in one process", who, (unsigned)point);
	if (!good || service_count("a connection has ended") != CLIENTS + 1)
		diag("%s", service_log());
	return killed;
}

static void
at_each_point(enum side side, bool joined)
{
	uint64_t point = 1;

	while (point < POINTS_MAX && die_at(side, joined, point))
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
	for (size_t i = 0; i < sizeof(unread); i++)
		unread[i] = (char)(i * 7 + i / 251);
	pfk_sockopts_init(&options);
	options.send_buffer = BUFFER;
	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	for (int joined = 0; joined < 2; joined++) {
		at_each_point(TAKER, joined);
		at_each_point(GIVER, joined);
		at_each_point(BOTH, joined);
	}
	return done_testing();
}
