/*
 * hostile-worker.c: a hostile worker: it runs the attacks of t/lib with all that a worker has, and
 * stays. Master and sibling neither crash nor stop serving, nothing is left open,
 * and a reload gets rid of it: afterwards each client is served.
 */
#include <errno.h>
#include <poll.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attacks.h"
#include "event/ledger.h"
#include "process/worker.h"
#include "service.h"
#include "tap.h"

/* The first worker of the slot is the hostile one, and its incarnations. */
#define HOSTILE_GENERATION 2
#define CLIENTS 40
#define PATIENCE_MS 20000

static struct pfk_listen want = {.kind = PFK_TCP};
struct pfk_server *server; /* not static: it is no leak */
static struct pfk_addr address;
static const struct attack *attack;

/* the worker */

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

static const struct pfk_protocol echo = {.connection_made = made,
    .data_received = received};

static void
on_attack(void *arg)
{
	(void)arg;
	pfk_log(PFK_INFO, "attacks");
	attack->run();
}

static void
on_order(void *arg, int signo)
{
	(void)signo;
	on_attack(arg);
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	(void)arg;
	attacker.worker = w;
	attacker.server = &server;
	if (pfk_worker_listen(w, &want, 1, &attacker.listener) == -1)
		return -1;
	server = pfk_serve(w->loop, attacker.listener, &echo, NULL, NULL);
	if (server == NULL)
		return -1;
	if (w->slot != HOSTILE_SLOT || w->generation != HOSTILE_GENERATION)
		return 0;
	if (w->ledger != NULL && w->ledger->resumed)
		return pfk_soon(w->loop, on_attack, NULL);
	return pfk_signal_add(w->loop, SIGUSR2, on_order, NULL) != NULL ? 0
									: -1;
}

/* the test */

static const struct pfk_hooks hooks = {.worker_init = worker_init};

/* How many of so many clients at a time have an echo before long. */
static int
served(int enough)
{
	struct pollfd p[CLIENTS];
	int fds[CLIENTS], n = 0;

	for (int i = 0; i < CLIENTS; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		p[i] = (struct pollfd){.fd = fds[i], .events = POLLOUT};
		if (connect(fds[i], &address.sa, address.len) == -1 &&
		    errno != EINPROGRESS)
			diag("connect: %s", strerror(errno));
	}
	for (int left = PATIENCE_MS / 50; left > 0 && n < enough; left--) {
		poll(p, CLIENTS, 50);
		for (int i = 0; i < CLIENTS; i++) {
			char c = 'x';
			ssize_t got;

			if (p[i].fd == -1)
				continue;
			if (p[i].events == POLLOUT &&
			    send(fds[i], &c, 1, MSG_NOSIGNAL) == -1 &&
			    errno == EAGAIN)
				continue;
			p[i].events = POLLIN;
			got = recv(fds[i], &c, 1, 0);
			n += got == 1;
			/* Or it would end each poll at once. */
			if (got != -1 || errno != EAGAIN)
				p[i].fd = -1;
		}
	}
	for (int i = 0; i < CLIENTS; i++)
		close(fds[i]);
	return n;
}

static bool
find_address(void)
{
	static const char before[] = "ready: 2 workers on tcp 127.0.0.1:";
	size_t at = service_wait(0, before);

	if (at == 0 || service_wait(at, "\n") == 0)
		return false;
	return pfk_addr_parse(&address, "127.0.0.1",
		   (uint16_t)atoi(service_log() + at)) == 0;
}

/* The pid of the slot's latest worker, by the log; 0 where there is none. */
static pid_t
latest_hostile(void)
{
	static const char before[] = "started worker 1 (";
	const char *at = service_log(), *last = NULL;

	while ((at = strstr(at, before)) != NULL)
		last = at += sizeof(before) - 1;
	return last != NULL ? (pid_t)atoi(last) : 0;
}

static bool
has_gone(pid_t pid)
{
	for (int i = 0; i < PATIENCE_MS / 20; i++) {
		if (pid <= 1 || kill(pid, 0) == -1)
			return true;
		service_wait(service_log_size(), "");
		poll(NULL, 0, 20);
	}
	return false;
}

static void
test(const struct attack *a)
{
	size_t at;
	pid_t pid;

	attack = a;
	service_start(&hooks, 2);
	if (!ok(find_address(), "%s: ready", a->name))
		goto out;
	kill(service_worker(0, HOSTILE_SLOT), SIGUSR2);
	ok(service_wait(0, "attacks") != 0, "%s: it attacks", a->name);
	ok(served(1) >= 1, "%s: the sibling serves", a->name);
	pid = latest_hostile();
	at = service_log_size();
	service_signal(SIGHUP);
	ok(service_wait(at, "reloaded: 2 workers") != 0, "%s: reloaded",
	    a->name);
	ok(has_gone(pid), "%s: it has gone", a->name);
	is_int(served(CLIENTS), CLIENTS, "%s: all clients are served", a->name);
	is_int(service_count("started worker 0"), 2, "%s: its sibling stayed",
	    a->name);
out:
	if (!is_int(service_end(SIGTERM), 0, "%s: exit status", a->name))
		diag("%s", service_log());
}

static void
test_each(const struct attack *a)
{
	for (; a->name != NULL; a++)
		test(a);
}

int
main(void)
{
	tap_time_limit(600);
	service_drain_ns = PFK_SECOND_NS;
	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	test_each(message_attacks);
	test_each(socket_attacks);
	test_each(process_attacks);
	return done_testing();
}
