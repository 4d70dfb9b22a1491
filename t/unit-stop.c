/*
 * A stop while a worker still boots: the listeners that it opens afterwards are
 * not kept, so that new clients are refused although an old one is served.
 */
#include <errno.h>
#include <poll.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service.h"
#include "tap.h"
#include "unit.h"

static struct pfk_sockopts options;
struct pfk_server *server; /* not static: it is no leak */
static struct pfk_listen want = {.kind = PFK_TCP};
static int *open_gate; /* shared: slot 1 waits for it in its boot */

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	pfk_write(tr, "x", 1);
	return tr;
}

/* The client ends the connection, not the stop. */
static void
draining(void *self)
{
	(void)self;
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	static const struct pfk_protocol proto = {.connection_made = made,
	    .draining = draining};
	int fd;

	(void)arg;
	while (pfk_worker_slot(w) == 1 &&
	    __atomic_load_n(open_gate, __ATOMIC_ACQUIRE) == 0)
		poll(NULL, 0, 5);
	if (pfk_worker_listen(w, &want, 1, &fd) == -1)
		return -1;
	server = pfk_serve(pfk_worker_loop(w), fd, &proto, NULL, NULL);
	return server != NULL ? 0 : -1;
}

static const struct pfk_hooks hooks = {.worker_init = worker_init};

static int
connect_error(const struct pfk_addr *to)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int error = connect(fd, &to->sa, to->len) == 0 ? 0 : errno;

	close(fd);
	return error;
}

int
main(void)
{
	unsigned port = 0;
	struct pfk_addr to;
	size_t at;
	char c;
	int fd;

	pfk_sockopts_init(&options);
	want.options = &options;
	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	open_gate = mmap(NULL, sizeof(*open_gate), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (open_gate == MAP_FAILED)
		skip_all("no shared memory");
	service_start(&hooks, 2);
	at = service_wait(0, "serving on tcp 127.0.0.1:");
	ok(at != 0 && service_wait(at, "started worker 1 (") != 0,
	    "one serves, one boots");
	sscanf(service_log() + at, "%u", &port);
	pfk_addr_parse(&to, "127.0.0.1", (uint16_t)port);
	fd = unit_connect(&to);
	is_int(unit_read(fd, &c, 1), 1, "a client is served");
	service_signal(SIGQUIT);
	ok((at = service_wait(at, "stopping")) != 0, "stopping");
	__atomic_store_n(open_gate, 1, __ATOMIC_RELEASE);
	at = service_wait(at, "worker 1 (");
	ok(at != 0 && service_wait(at, ") has ended") != 0,
	    "the worker that booted meanwhile has ended");
	is_int(connect_error(&to), ECONNREFUSED, "a new client is refused");
	ok(unit_write(fd, "x", 1) == 1 && close(fd) == 0,
	    "while the old one goes on");
	is_int(service_end(SIGCONT), 0, "and its end ends the service");
	return done_testing();
}
