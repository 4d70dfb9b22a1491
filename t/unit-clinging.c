/*
 * A worker that leaves, without a bound of time, and keeps a listener is killed; one
 * that has closed its listeners stays for its connection.
 */
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "event/io.h"
#include "event/ledger.h"
#include "event/loop.h"
#include "linger.h"
#include "process/master.h"
#include "process/worker.h"
#include "service.h"
#include "tap.h"

#define LOOK_NS (10 * PFK_MSEC_NS)

/* Shared with the workers: how the first one behaves. */
enum mode { HONEST, CLINGS, HIDES };
static enum mode *mode;

static struct pfk_listen want[2];
struct pfk_server *server; /* not static: it is no leak */
static int fds[2];
static int queue[2]; /* holds the listener of a worker that hides it */

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	return tr;
}

static void
received(void *tr, const void *buf, size_t len)
{
	pfk_write(tr, buf, len);
}

/* Its connection stays, so that the worker does. */
static ssize_t
hand_over(void *self, void *buf, size_t room)
{
	(void)self;
	(void)buf;
	(void)room;
	return PFK_LATER;
}

static void *
resumed(struct pfk_transport *tr, void *arg, const void *buf, size_t len)
{
	(void)arg;
	(void)buf;
	(void)len;
	return tr;
}

static const struct pfk_protocol echo = {.connection_made = made,
    .data_received = received,
    .hand_over = hand_over,
    .connection_resumed = resumed};

static void
turn(void *arg)
{
	struct pfk_worker *w = arg;

	pfk_later(w->loop, 5 * PFK_MSEC_NS, turn, w);
}

static void
on_order(void *arg, int signo)
{
	struct pfk_worker *w = arg;

	(void)signo;
	pfk_io_cancel(&w->io);
	if (*mode == HIDES && socketpair(AF_UNIX, SOCK_DGRAM, 0, queue) == 0) {
		linger_send(queue[0], "x", 1, fds, 1);
		pfk_server_close(&server);
		/* Not closed: a checked build looks whether it is open. */
		dup2(queue[1], fds[1]);
	}
	pfk_log(PFK_INFO, "hostile");
}

/* The second listener is not served: the library closes it. */
static int
worker_init(struct pfk_worker *w, void *arg)
{
	(void)arg;
	if (pfk_worker_listen(w, want, 2, fds) == -1)
		return -1;
	server = pfk_serve(w->loop, fds[0], &echo, NULL, NULL);
	turn(w);
	return server != NULL &&
		pfk_signal_add(w->loop, SIGUSR2, on_order, w) != NULL
	    ? 0
	    : -1;
}

static const struct pfk_hooks hooks = {.worker_init = worker_init};

static void
reload(void)
{
	size_t at = service_log_size();

	service_signal(SIGHUP);
	ok(service_wait(at, "reloaded: 1 worker") != 0, "reloaded");
}

static void
begin(enum mode m, int *client, pid_t *worker)
{
	*mode = m;
	service_start(&hooks, 1);
	*client = service_connect(service_port(), 0);
	*worker = service_worker(0, 0);
	ok(service_echoes(*client, 'x'), "a client is served");
}

static void
test_honest(void)
{
	int client;
	pid_t worker;

	begin(HONEST, &client, &worker);
	for (int i = 0; i < 7; i++)
		reload();
	ok(service_wait(0, "has been leaving for") != 0, "it stays");
	ok(service_echoes(client, 'y'), "and serves its client");
	is_int(service_count("; killing it"), 0, "none is killed");
	close(client);
	is_int(service_end(SIGTERM), 0, "exit status");
}

static void
test_hostile(enum mode m, const char *keeps)
{
	char line[100];
	int client;
	pid_t worker;

	begin(m, &client, &worker);
	kill(worker, SIGUSR2);
	ok(service_wait(0, "hostile") != 0, "it does not leave");
	reload();
	snprintf(line, sizeof(line), "(%d) is leaving and keeps %s; killing it",
	    (int)worker, keeps);
	if (!ok(service_wait(0, line) != 0, "it is killed: %s", keeps))
		diag("%s", service_log());
	close(client);
	client = service_connect(service_port(), 0);
	ok(service_echoes(client, 'z'), "its successor serves");
	close(client);
	is_int(service_end(SIGTERM), 0, "exit status");
}

int
main(void)
{
	mode = mmap(NULL, sizeof(*mode), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (mode == MAP_FAILED)
		skip_all("no shared memory");
	for (int i = 0; i < 2; i++) {
		want[i].kind = PFK_TCP;
		pfk_addr_parse(&want[i].addr,
		    i == 0 ? "127.0.0.1" : "127.0.0.2", 0);
	}
	pfk__leaver_look_ns = LOOK_NS;
	test_honest();
	test_hostile(CLINGS, "a listener");
	test_hostile(HIDES, "descriptors in a socket's queue");
	return done_testing();
}
