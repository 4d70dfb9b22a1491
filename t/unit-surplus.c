/*
 * Fewer workers, when the sockets of the slot given up are not the last of
 * their group: they cannot be closed without a loss, so somebody goes on
 * serving them, and the log does not say otherwise.
 */
#include <poll.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "service.h"
#include "tap.h"
#include "unit.h"

#define CLIENTS 40

static struct pfk_sockopts options;
static struct pfk_listen want[2] = {{.kind = PFK_TCP}, {.kind = PFK_TCP}};
static size_t wanted = 1;
struct pfk_server *servers[2]; /* not static: they are no leak */

/* Shared: the last slot has the second address. */
static int *last_has_it;

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	pfk_write(tr, "x", 1);
	return tr;
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	static const struct pfk_protocol proto = {.connection_made = made};
	int fds[2];

	(void)arg;
	/* So that the order of the second address is 0, 2, 1. */
	if (wanted == 2 && pfk_worker_slot(w) == 1 && !*last_has_it)
		return pfk_worker_fail(w, 1, "not yet");
	if (pfk_worker_listen(w, want, wanted, fds) == -1)
		return -1;
	for (size_t i = 0; i < wanted; i++) {
		servers[i] = pfk_serve(pfk_worker_loop(w), fds[i], &proto, NULL,
		    NULL);
		if (servers[i] == NULL)
			return -1;
	}
	if (wanted == 2 && pfk_worker_slot(w) == 2)
		*last_has_it = 1;
	return 0;
}

static int
on_reload(struct pfk_master_config *config, void *arg)
{
	(void)config;
	(void)arg;
	wanted = 2;
	return 0;
}

static const struct pfk_hooks hooks = {.worker_init = worker_init,
    .on_reload = on_reload};

/* How many clients of the address get an answer. */
static int
served(const char *host, uint16_t port)
{
	int fds[CLIENTS], n = 0;
	struct pfk_addr to;
	char c;

	pfk_addr_parse(&to, host, port);
	for (int i = 0; i < CLIENTS; i++)
		fds[i] = unit_connect(&to);
	for (int i = 0; i < CLIENTS; i++) {
		struct pollfd p = {.fd = fds[i], .events = POLLIN};

		n += poll(&p, 1, 10000) == 1 && read(fds[i], &c, 1) == 1;
		close(fds[i]);
	}
	return n;
}

/* The port of the first worker's listener at the host. */
static uint16_t
port_of(const char *host)
{
	char pattern[60];
	size_t at;
	unsigned port = 0;

	snprintf(pattern, sizeof(pattern), "serving on tcp %s:", host);
	at = service_wait(0, pattern);
	if (at != 0 && service_wait(at, "\n") != 0)
		sscanf(service_log() + at, "%u", &port);
	return (uint16_t)port;
}

int
main(void)
{
	size_t at, two;
	char line[60];

	pfk_sockopts_init(&options);
	want[0].options = want[1].options = &options;
	pfk_addr_parse(&want[0].addr, "127.0.0.1", 0);
	pfk_addr_parse(&want[1].addr, "127.0.0.2", 0);
	last_has_it = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (last_has_it == MAP_FAILED)
		skip_all("no shared memory");

	service_start(&hooks, 3);
	ok(service_wait(0, "ready: 3 workers") != 0, "ready");
	service_signal(SIGHUP);
	ok((at = service_wait(0, "reloaded")) != 0, "an address more");
	snprintf(line, sizeof(line), "[worker-1 (");
	two = service_wait(0, "serving on tcp 127.0.0.2");
	while (two != 0 && strstr(service_log(), "not yet") != NULL &&
	    (two = service_wait(two, line)) != 0) {
		size_t end = service_wait(two, "\n");
		const char *line_2 = strstr(service_log() + two,
		    ", tcp 127.0.0.2:");

		if (end != 0 && line_2 != NULL && line_2 < service_log() + end)
			break;
	}
	ok(two != 0, "which the second worker has last");
	is_int(served("127.0.0.2", port_of("127.0.0.2")), CLIENTS, "it serves");
	service_signal(SIGTTOU);
	ok((at = service_wait(at, "the number of workers is 2 ")) != 0,
	    "a worker fewer");
	ok((at = service_wait(at, "2 workers serve them")) != 0,
	    "its sockets cannot all be closed");
	is_int(service_count("closed the listeners"), 0, "and nobody says so");
	for (int i = 0; i < 3; i++) {
		is_int(served("127.0.0.2", port_of("127.0.0.2")), CLIENTS,
		    "everybody is served at the one address");
		is_int(served("127.0.0.1", port_of("127.0.0.1")), CLIENTS,
		    "and at the other");
	}
	service_signal(SIGTTOU);
	ok(service_wait(at, "removed slots; 1 worker left") != 0,
	    "with one worker they can");
	is_int(served("127.0.0.2", port_of("127.0.0.2")), CLIENTS, "it serves");
	is_int(service_end(SIGTERM), 0, "exit status");
	return done_testing();
}
