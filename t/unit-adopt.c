/*
 * A worker that has stood still helps its siblings as soon as its loop turns
 * again: it serves their queues and takes their connections.  Here a stalled
 * worker has help for an hour, so that no test can pass by waiting for its end.
 */
#include <netinet/in.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "process/stall.h"
#include "service.h"
#include "tap.h"

/* The kernel puts some of them into each of two queues. */
#define CLIENTS 40
#define ROUNDS 4

/* the service */

static int self;
static struct pfk_sockopts options;
static struct pfk_listen want = {.kind = PFK_TCP, .options = &options};
struct pfk_server *server; /* not static: it is no leak */

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	pfk_log(PFK_INFO, "slot %d has a client", self);
	return tr;
}

static ssize_t
hand_over(void *tr, void *buf, size_t room)
{
	(void)tr;
	(void)buf;
	(void)room;
	return 0;
}

static void *
resumed(struct pfk_transport *tr, void *arg, const void *buf, size_t len)
{
	(void)arg;
	(void)buf;
	(void)len;
	pfk_log(PFK_INFO, "slot %d takes one over", self);
	return tr;
}

static struct pfk_timer *turn;

static void
on_turn(void *loop)
{
	pfk_log(PFK_INFO, "slot %d turns", self);
	pfk_timer_set(&turn, loop, 100 * PFK_MSEC_NS, on_turn, loop);
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	static const struct pfk_protocol protocol = {.connection_made = made,
	    .hand_over = hand_over,
	    .connection_resumed = resumed};
	int fd;

	(void)arg;
	self = pfk_worker_slot(w);
	if (pfk_worker_listen(w, &want, 1, &fd) == -1)
		return -1;
	server = pfk_serve(pfk_worker_loop(w), fd, &protocol, NULL, NULL);
	if (server == NULL)
		return -1;
	return pfk_soon(pfk_worker_loop(w), on_turn, pfk_worker_loop(w));
}

static const struct pfk_hooks hooks = {.worker_init = worker_init};

/* the clients */

static int clients[ROUNDS * CLIENTS];
static int n_clients;

static uint16_t
port(void)
{
	size_t at = service_wait(0, "serving on tcp 127.0.0.1:");

	return at != 0 && service_wait(at, " ") != 0
	    ? (uint16_t)atoi(service_log() + at)
	    : 0;
}

/* Some more, to each queue, and wait until that is logged behind the offset. */
static bool
clients_until(size_t from, const char *text)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	    .sin_port = htons(port())};

	for (int i = 0; i < CLIENTS; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		clients[n_clients++] = fd;
		if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == -1)
			return false;
	}
	return service_wait(from, text) != 0;
}

static void
close_clients(void)
{
	while (n_clients > 0)
		close(clients[--n_clients]);
}

/* the test */

/* Let the slot's worker stand still until it has help, and then turn again. */
static void
stall(int slot)
{
	char text[40];
	size_t from = service_log_size();
	pid_t pid = service_worker(0, slot);

	kill(pid, SIGSTOP);
	snprintf(text, sizeof(text), "serves for slot %d, ", slot);
	ok(clients_until(from, text), "slot %d stands still, and has help",
	    slot);
	from = service_log_size();
	kill(pid, SIGCONT);
	snprintf(text, sizeof(text), "slot %d turns", slot);
	ok(service_wait(from, text) != 0, "it turns again");
}

static void
start(void)
{
	service_start(&hooks, 2);
	ok(service_wait(0, "ready: 2 workers") != 0, "ready");
}

static void
end(void)
{
	close_clients();
	is_int(service_count("recovered"), 0, "nobody has recovered");
	if (!is_int(service_end(SIGTERM), 0, "exit status"))
		diag("%s", service_log());
}

static void
serves_the_queue(void)
{
	size_t from;
	pid_t pid;

	start();
	stall(1);
	from = service_log_size();
	pid = service_worker(0, 0);
	kill(pid, SIGSTOP);
	ok(clients_until(from, "serves for slot 0, "),
	    "its sibling stops, and it serves for it");
	kill(pid, SIGCONT);
	end();
}

static void
takes_connections(void)
{
	size_t from;

	start();
	stall(0);
	from = service_log_size();
	ok(clients_until(from, "slot 1 has a client"),
	    "the sibling has clients");
	service_signal(SIGTTOU);
	ok(service_wait(from, "slot 0 takes one over") != 0,
	    "its sibling leaves, and it takes the connections");
	ok(service_wait(from, "worker 1 (") != 0 &&
		service_wait(from, ") has ended") != 0,
	    "the sibling ends");
	end();
}

int
main(void)
{
	is_int(pfk__convalescence_ns, 5 * PFK_SECOND_NS, "the time of help");
	pfk__convalescence_ns = 3600 * PFK_SECOND_NS;
	service_no_keeper = true;
	pfk_sockopts_init(&options);
	want.options = &options;
	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	serves_the_queue();
	takes_connections();
	return done_testing();
}
