/*
 * Clients with an input that crashes the worker cost no other connection, however
 * often they come; a worker that crashes whatever is removed loses all.
 */
#include <prefork.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service.h"
#include "tap.h"

#define BYSTANDERS 12
#define CRASHES 15
#define POISON '!'

static struct pfk_listen want = {.kind = PFK_TCP};
static volatile bool *sick; /* every worker crashes as it begins */
struct pfk_server *server;  /* not static: it is no leak */

/* the service: echo, but for one byte */

static void
crash(void)
{
	raise(SIGSEGV);
}

static void *
connection_made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	return tr;
}

static void
data_received(void *self, const void *buf, size_t len)
{
	if (*(const char *)buf == POISON)
		crash();
	pfk_write(self, buf, len);
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
    .connection_resumed = connection_resumed,
    .survives = true};

static void
on_sick(void *arg)
{
	(void)arg;
	if (*sick)
		crash();
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	static struct pfk_timer *timer;
	struct pfk_loop *l = pfk_worker_loop(w);
	int fd;

	(void)arg;
	/* A sanitizer makes an exit of it. */
	signal(SIGSEGV, SIG_DFL);
	if (pfk_worker_listen(w, &want, 1, &fd) == -1)
		return -1;
	server = pfk_serve(l, fd, &echo, NULL, NULL);
	return server != NULL && pfk_timer_set(&timer, l, 0, on_sick, NULL) == 0
	    ? 0
	    : -1;
}

static const struct pfk_hooks hooks = {.worker_init = worker_init};

/* the test */

static int
count_served(const int *clients, char byte)
{
	int n = 0;

	for (int i = 0; i < BYSTANDERS; i++)
		n += service_echoes(clients[i], byte);
	return n;
}

static uint16_t
start(int *clients)
{
	uint16_t port;

	*sick = false;
	service_start(&hooks, 1);
	service_wait(0, "ready: 1 worker");
	port = service_port();
	for (int i = 0; i < BYSTANDERS; i++)
		clients[i] = service_connect(port, 0);
	is_int(count_served(clients, 'a'), BYSTANDERS, "all are served");
	return port;
}

static void
stop(const int *clients)
{
	for (int i = 0; i < BYSTANDERS; i++)
		close(clients[i]);
	is_int(service_end(SIGTERM), 0, "exit status");
}

static void
test_poison(void)
{
	int clients[BYSTANDERS], closed = 0;
	uint16_t port = start(clients);
	size_t at = 0;
	char byte;

	for (int i = 0; i < CRASHES; i++) {
		int fd = service_connect(port, 0);

		byte = POISON;
		send(fd, &byte, 1, MSG_NOSIGNAL);
		closed += recv(fd, &byte, 1, 0) <= 0;
		close(fd);
		at = service_wait(at, "; closing that connection");
	}
	is_int(closed, CRASHES, "clients with such input are closed");
	is_int(count_served(clients, 'b'), BYSTANDERS, "all others go on");
	is_int(service_count("; closing that connection"), CRASHES,
	    "each is logged");
	stop(clients);
}

/* The worker may still serve the client that it has answered last. */
static void
test_killed(void)
{
	int clients[BYSTANDERS], n = 0;
	size_t at = 0, logged = 0;

	start(clients);
	for (int i = 0; i < 7; i++) {
		pid_t worker = service_worker(at, 0);

		at = service_wait(at, "started worker 0");
		kill(worker, SIGSEGV);
		n = count_served(clients, 'b');
		/* The keeper logs a loss before. */
		logged = service_wait(logged, "went on with ");
	}
	is_int(n + service_count("; closing that connection"), BYSTANDERS,
	    "a worker that is killed by SIGSEGV again and again costs no "
	    "connection but those that are logged");
	stop(clients);
}

static void
test_sick(void)
{
	int clients[BYSTANDERS], lost = 0, fd;
	uint16_t port = start(clients);
	size_t at = 0;
	char byte;

	*sick = true;
	kill(service_worker(at, 0), SIGKILL);
	at = service_wait(at, "closing all of its connections");
	ok(at != 0, "a worker that crashes whatever is removed is given up");
	*sick = false;
	for (int i = 0; i < BYSTANDERS; i++)
		lost += recv(clients[i], &byte, 1, 0) <= 0;
	is_int(lost, BYSTANDERS, "its connections are closed");
	fd = service_connect(port, 0);
	ok(service_echoes(fd, 'c'), "new ones are served");
	close(fd);
	stop(clients);
}

int
main(void)
{
	struct rlimit none = {0};

	sick = mmap(NULL, sizeof(*sick), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sick == MAP_FAILED)
		skip_all("no shared memory");
	setrlimit(RLIMIT_CORE, &none);
	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	test_poison();
	test_killed();
	test_sick();
	return done_testing();
}
