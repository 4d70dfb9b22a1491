/*
 * A worker of a dead master knocks at the next one's and then breaks the protocol:
 * it is ended, its slot gets a worker, and the service comes up.
 */
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "echo.h"
#include "linger.h"
#include "process/takeover.h"
#include "process/worker.h"
#include "service.h"
#include "tap.h"
#include "tree.h"

#define LOOK_NS (20 * PFK_MSEC_NS)
#define FALSE_SLOT 1

static const struct lie {
	const char *name;
	void (*tell)(int channel, struct pfk__message m);
} * lie;

/* Shared: the worker of the first master that lies, and the way that it takes. */
static struct plan {
	int lies;
	int channel; /* its own, so that it lives on */
	bool leaves; /* it says so */
} * plan;
static struct pfk_sockopts options;
static struct pfk_listen want = {.kind = PFK_TCP, .options = &options};

/* the service */

static const struct pfk_protocol echo = {.connection_made = echo_made,
    .data_received = echo_received};

static void
send_garbage(int channel, struct pfk__message m)
{
	(void)m;
	send(channel, "garbage", 7, MSG_NOSIGNAL);
}

static void
send_order(int channel, struct pfk__message m)
{
	m.type = PFK__MSG_DRAIN;
	send(channel, &m, sizeof(m), MSG_NOSIGNAL);
}

static void
send_no_listener(int channel, struct pfk__message m)
{
	m.type = PFK__MSG_LEND;
	linger_send(channel, &m, sizeof(m), &channel, 1);
}

static void
send_failure(int channel, struct pfk__message m)
{
	m.type = PFK__MSG_FAIL;
	m.status = INT32_MIN;
	memset(m.text, '\x9b', sizeof(m.text));
	send(channel, &m, sizeof(m), MSG_NOSIGNAL);
	shutdown(channel, SHUT_RDWR);
}

static const struct lie lies[] = {
    {"garbage", send_garbage},
    {"a message of the master's", send_order},
    {"a listener that is none", send_no_listener},
    {"a failure, and the end", send_failure},
};

static void
knock_falsely(const struct pfk_worker *w)
{
	struct pfk__knock k = {.first = 2,
	    .version = PFK__KNOCK_VERSION,
	    .message_bytes = sizeof(struct pfk__message),
	    .slot = plan->leaves ? -1 - w->slot : w->slot,
	    .workers = 2,
	    .keeper = w->keeper,
	    .generation = w->generation};
	struct pfk__message m = {.slot = w->slot,
	    .generation = w->generation,
	    .kind = PFK_TCP};
	int fd = service_connect_control(), fds[2];

	if (fd == -1)
		return;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == -1) {
		close(fd);
		return;
	}
	plan->lies = 0;
	linger_send(fd, &k, sizeof(k), &fds[1], 1);
	close(fds[1]);
	lie->tell(fds[0], m);
	plan->channel = fds[0];
}

static void
look(void *arg)
{
	struct pfk_worker *w = arg;

	if (__atomic_load_n(&plan->lies, __ATOMIC_RELAXED) == 2)
		knock_falsely(w);
	pfk_later(w->loop, LOOK_NS, look, w);
}

static void
on_order(void *arg, int signo)
{
	struct pfk_worker *w = arg;

	(void)signo;
	/* It knocks itself, later. */
	w->control_path = "/nonexistent";
	plan->lies = 1;
	pfk_log(PFK_INFO, "will lie");
	look(w);
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	(void)arg;
	if (echo_serve(w, &want, &echo) == -1 ||
	    pfk_signal_add(w->loop, SIGUSR2, on_order, w) == NULL)
		return -1;
	return 0;
}

static const struct pfk_hooks hooks = {.worker_init = worker_init};

/* the test */

/* At a place of its own: the killed worker's next one may outlive the service. */
static void
test(const struct lie *one)
{
	char name[8];
	int client;

	snprintf(name, sizeof(name), "%d%d", (int)(one - lies), plan->leaves);
	service_place(name);
	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	pfk_addr_parse(&want.addr, "127.0.0.1", service_free_port(&hooks, 2));

	lie = one;
	service_start(&hooks, 2);
	service_wait(0, "ready: 2 workers");
	kill(service_worker(0, FALSE_SLOT), SIGUSR2);
	ok(service_wait(0, "will lie") != 0, "%s: it is ready to lie",
	    lie->name);
	plan->lies = 2;
	service_end(SIGKILL);
	service_start(&hooks, 2);
	if (!ok(service_wait(0, "ready: 2 workers") != 0,
		"%s: the service comes up", lie->name))
		diag("%s", service_log());
	is_int(plan->lies, 0, "%s: it has knocked", lie->name);
	client = service_connect(pfk_addr_port(&want.addr), 0);
	ok(service_echoes(client, 'a'), "%s: it serves", lie->name);
	close(client);
	is_int(service_end(SIGTERM), 0, "%s: exit status", lie->name);
}

int
main(void)
{
	plan = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (plan == MAP_FAILED)
		skip_all("no shared memory");
	service_orphan_ns = 20 * PFK_SECOND_NS;
	pfk_sockopts_init(&options);
	for (size_t i = 0; i < 2 * sizeof(lies) / sizeof(lies[0]); i++) {
		plan->leaves = i % 2 == 1;
		test(&lies[i / 2]);
	}
	tree_remove();
	return done_testing();
}
