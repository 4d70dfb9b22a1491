/*
 * A worker that is broken: it is killed and replaced, which is logged once;
 * nothing leaks, and its sibling does not notice.
 */
#include <poll.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "linger.h"
#include "process/worker.h"
#include "service.h"
#include "tap.h"

/* The second worker's successor is the broken one. */
#define BROKEN_SLOT 1
#define BROKEN_GENERATION 3

static const struct evil {
	const char *name;
	void (*boot)(struct pfk_worker *w); /* after it has listened */
	void (*late)(struct pfk_worker *w); /* after it was ready */
	const char *told;                   /* by the master, once */
} * evil;

/* the worker */

static struct pfk_listen want = {.kind = PFK_TCP};
static struct pfk_sockopts options;
static struct pfk_worker *self;
struct pfk_server *server; /* not static: it is no leak */
static int listener;

static struct pfk__message
message(const struct pfk_worker *w, uint32_t type)
{
	struct pfk_addr name = {.len = sizeof(name.in6)};

	getsockname(listener, &name.sa, &name.len);
	return (struct pfk__message){.type = type,
	    .slot = w->slot,
	    .generation = w->generation,
	    .kind = PFK_TCP,
	    .asked = name,
	    .bound = name};
}

static void
send_message(struct pfk_worker *w, uint32_t type)
{
	struct pfk__message m = message(w, type);

	pfk__channel_send(w->channel, &m, -1);
}

static void
send_garbage(struct pfk_worker *w)
{
	send(w->channel, "rubbish", 7, 0);
}

static void
send_two(struct pfk_worker *w)
{
	struct pfk__message m = message(w, PFK__MSG_LEND);
	union {
		char buf[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {&m, sizeof(m)};
	struct msghdr h = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.buf,
	    .msg_controllen = sizeof(control.buf)};
	struct cmsghdr *cm = CMSG_FIRSTHDR(&h);
	int fds[2] = {listener, listener};

	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(cm), fds, sizeof(fds));
	sendmsg(w->channel, &h, 0);
}

static void
send_nothing_to_keep(struct pfk_worker *w)
{
	struct pfk__message m = message(w, PFK__MSG_LEND);

	pfk__channel_send(w->channel, &m, STDIN_FILENO);
}

static void
send_as_sibling(struct pfk_worker *w)
{
	struct pfk__message m = message(w, PFK__MSG_READY);

	m.slot = 0;
	pfk__channel_send(w->channel, &m, -1);
}

static void
send_as_the_dead(struct pfk_worker *w)
{
	struct pfk__message m = message(w, PFK__MSG_READY);

	m.generation--;
	pfk__channel_send(w->channel, &m, -1);
}

/* The master would signal that process. */
static void
send_pid(struct pfk_worker *w)
{
	struct pfk__message m = message(w, PFK__MSG_STARTED);

	m.pid = getppid();
	pfk__channel_send(w->channel, &m, -1);
}

static void
send_drain(struct pfk_worker *w)
{
	send_message(w, PFK__MSG_DRAIN);
}

static void
send_lend(struct pfk_worker *w)
{
	send_message(w, PFK__MSG_LEND);
}

static void
send_lingering(struct pfk_worker *w)
{
	struct pfk__message m = message(w, PFK__MSG_KEEP);
	int fd = linger_socket();

	for (int i = 0; i < 5; i++)
		pfk__channel_send(w->channel, &m, fd);
	close(fd);
}

/*
 * Descriptors that are queued behind the garbage are closed with the channel.
 */
static void
queue_lingering(struct pfk_worker *w)
{
	struct pfk__message m = message(w, PFK__MSG_READY);
	int fd = linger_socket();

	send_garbage(w);
	pfk__channel_send(w->channel, &m, fd);
	close(fd);
}

static void
send_ready(struct pfk_worker *w)
{
	send_message(w, PFK__MSG_READY);
}

static void
send_leaving(struct pfk_worker *w)
{
	send_message(w, PFK__MSG_LEAVING);
}

static void
die(struct pfk_worker *w)
{
	(void)w;
	_exit(3);
}

static void
go_deaf(struct pfk_worker *w)
{
	shutdown(w->channel, SHUT_WR);
}

static void
on_late(void *arg)
{
	(void)arg;
	pfk_log(PFK_INFO, "serves");
	if (evil->late != NULL && self->slot == BROKEN_SLOT &&
	    self->generation == BROKEN_GENERATION)
		evil->late(self);
}

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	return tr;
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	static const struct pfk_protocol none = {.connection_made = made};

	(void)arg;
	self = w;
	if (pfk_worker_listen(w, &want, 1, &listener) == -1)
		return -1;
	if (evil->boot != NULL && w->slot == BROKEN_SLOT &&
	    w->generation == BROKEN_GENERATION)
		evil->boot(w);
	server = pfk_serve(w->loop, listener, &none, NULL, NULL);
	if (server == NULL || pfk_soon(w->loop, on_late, NULL) == -1)
		return -1;
	return 0;
}

static const struct evil evils[] = {
    {"garbage", send_garbage, NULL, "sent garbage; killing it"},
    {"two descriptors", send_two, NULL, "sent garbage; killing it"},
    {"a rubbish listener", send_nothing_to_keep, NULL,
	"sent a descriptor that is no such listener; killing it"},
    {"a message for its sibling", send_as_sibling, NULL,
	"sent a message of another worker; killing it"},
    {"a message of a dead one", send_as_the_dead, NULL,
	"sent a message of another worker; killing it"},
    {"a master's message", send_drain, NULL,
	"sent a message that only the master sends; killing it"},
    {"connections that linger", send_lingering, NULL,
	"sent a descriptor that nobody asked for; killing it"},
    {"such a connection in its queue", queue_lingering, NULL,
	"sent garbage; killing it"},
    {"death in mid-boot", die, NULL, "exited with status 3"},
    {"it cannot report readiness", go_deaf, NULL, "exited with status 71"},
    {"garbage later", NULL, send_garbage, "sent garbage; killing it"},
    {"a listener later", NULL, send_lend,
	"sent a message of its boot after it; killing it"},
    {"ready twice", NULL, send_ready,
	"sent a message of its boot after it; killing it"},
    {"it gives another process for itself", NULL, send_pid,
	"sent a pid that is not its own; killing it"},
    {"it says that it leaves, and stays", NULL, send_leaving, "has ended"},
};

/* the test */

static const struct pfk_hooks hooks = {.worker_init = worker_init};

static void
run(const struct evil *e)
{
	int before, after;
	size_t at;
	char line[100];
	pid_t pid;

	evil = e;
	service_start(&hooks, 2);
	ok(service_wait(0, "ready: 2 workers") != 0, "%s: ready", e->name);
	at = service_wait(0, "[worker-1 (");
	ok(at != 0 && service_wait(at, ")] serves") != 0, "%s: serving",
	    e->name);
	before = service_fds();
	at = service_log_size();
	pid = service_worker(0, BROKEN_SLOT);
	/* kill(2) takes -1 for every process of the machine. */
	if (pid > 0)
		kill(pid, SIGKILL);
	pid = service_worker(at, BROKEN_SLOT); /* the broken one */
	at = service_wait(at, "started worker");
	snprintf(line, sizeof(line), "worker %d (%d) %s", BROKEN_SLOT, (int)pid,
	    e->told);
	if (!ok(service_wait(at, line) != 0, "%s: it is told", e->name)) {
		diag("%s", service_log());
		service_end(SIGKILL);
		return;
	}
	pid = service_worker(at, BROKEN_SLOT);
	snprintf(line, sizeof(line), "[worker-1 (%d)] serves", (int)pid);
	ok(service_wait(at, line) != 0, "%s: another takes its place", e->name);
	for (int i = 0; (after = service_fds()) != before && i < 500; i++)
		poll(NULL, 0, 20);
	is_int(after, before, "%s: nothing is left open", e->name);
	is_int(service_count(e->told), 1, "%s: told once", e->name);
	is_int(service_count("started worker 0"), 1, "%s: its sibling stays",
	    e->name);
	if (after != before || service_count(e->told) != 1)
		diag("%s", service_log());
	is_int(service_end(SIGTERM), 0, "%s: exit status", e->name);
}

int
main(void)
{
	/* The broken worker is one that the master has forked. */
	service_no_keeper = true;
	pfk_sockopts_init(&options);
	want.options = &options;
	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	for (size_t i = 0; i < sizeof(evils) / sizeof(evils[0]); i++)
		run(&evils[i]);
	return done_testing();
}
