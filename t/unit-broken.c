/*
 * A worker that is broken: it is killed and replaced, which is logged once;
 * nothing leaks, and its sibling does not notice.
 */
#include <errno.h>
#include <poll.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "process/worker.h"
#include "tap.h"
#include "unit.h"

#define SOON_MS 10000

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

	pfk__channel_send(w->channel, &m, listener);
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

static int
worker_init(struct pfk_worker *w, void *arg)
{
	static const struct pfk_protocol none;

	(void)arg;
	self = w;
	if (pfk_worker_listen(w, &want, 1, &listener) == -1)
		return -1;
	if (evil->boot != NULL && w->slot == BROKEN_SLOT &&
	    w->generation == BROKEN_GENERATION)
		evil->boot(w);
	if (pfk_serve(w->loop, listener, &none, NULL, NULL) == NULL ||
	    pfk_soon(w->loop, on_late, NULL) == -1)
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
    {"death in mid-boot", die, NULL, "exited with status 3"},
    {"it cannot say ready", go_deaf, NULL, "exited with status 71"},
    {"garbage later", NULL, send_garbage, "sent garbage; killing it"},
    {"a listener later", NULL, send_lend,
	"sent what belongs to its boot; killing it"},
    {"ready twice", NULL, send_ready,
	"sent what belongs to its boot; killing it"},
    {"it says that it leaves, and stays", NULL, send_leaving, "has ended"},
};

/* the test */

static pid_t master;
static int ear;
static char text[65536];
static size_t len;

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void
start_master(void)
{
	struct pfk_master_config config = {.workers = 2,
	    .shutdown_ns = PFK_SECOND_NS};
	static const struct pfk_hooks hooks = {.worker_init = worker_init};
	int fds[2];

	if (pipe(fds) == -1)
		skip_all("no pipe");
	len = 0;
	master = fork();
	if (master == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		pfk_log_open("-");
		_exit(pfk_master_run(&config, &hooks, NULL));
	}
	close(fds[1]);
	ear = fds[0];
}

/* Wait for the pattern behind `from`; the match, or NULL when time is up. */
static const char *
wait_log(const char *from, const char *pattern)
{
	int64_t until = now_ms() + SOON_MS;
	struct pollfd p = {.fd = ear, .events = POLLIN};
	const char *found;

	while ((found = strstr(from, pattern)) == NULL && now_ms() < until) {
		ssize_t n;

		if (poll(&p, 1, 50) != 1)
			continue;
		n = read(ear, text + len, sizeof(text) - 1 - len);
		if (n <= 0)
			return NULL;
		len += (size_t)n;
		text[len] = '\0';
	}
	return found;
}

static int
count(const char *pattern)
{
	int n = 0;

	for (const char *at = text; (at = strstr(at, pattern)) != NULL; at++)
		n++;
	return n;
}

/* The pid in "started worker SLOT (PID)" behind `from`. */
static pid_t
started(const char *from, int slot)
{
	char pattern[40];
	const char *at;

	snprintf(pattern, sizeof(pattern), "started worker %d (", slot);
	at = wait_log(from, pattern);
	return at != NULL ? (pid_t)atoi(at + strlen(pattern)) : -1;
}

static int
count_master_fds(void)
{
	char command[80];
	int n = -1;
	FILE *f;

	snprintf(command, sizeof(command), "ls /proc/%d/fd | wc -l",
	    (int)master);
	f = popen(command, "r");
	if (f != NULL && fscanf(f, "%d", &n) != 1)
		n = -1;
	if (f != NULL)
		pclose(f);
	return n;
}

static void
run(const struct evil *e)
{
	int before, after, status;
	const char *at;
	char line[80];
	pid_t pid;

	evil = e;
	text[0] = '\0';
	start_master();
	ok(wait_log(text, "ready: 2 workers") != NULL, "%s: ready", e->name);
	ok((at = wait_log(text, "[worker-1 (")) != NULL &&
		wait_log(at, ")] serves") != NULL,
	    "%s: serving", e->name);
	before = count_master_fds();
	at = text + len;
	kill(started(text, BROKEN_SLOT), SIGKILL);
	pid = started(at, BROKEN_SLOT); /* the broken one */
	at = strstr(at, "started worker");
	snprintf(line, sizeof(line), "worker %d (%d) %s", BROKEN_SLOT, (int)pid,
	    e->told);
	if (!ok(wait_log(at, line) != NULL, "%s: it is told", e->name)) {
		diag("%s", text);
		kill(master, SIGKILL);
		waitpid(master, &status, 0);
		close(ear);
		return;
	}
	pid = started(at + 1, BROKEN_SLOT);
	snprintf(line, sizeof(line), "[worker-1 (%d)] serves", (int)pid);
	ok(wait_log(at, line) != NULL, "%s: another takes its place", e->name);
	for (int i = 0; (after = count_master_fds()) != before && i < 100; i++)
		poll(NULL, 0, 20);
	is_int(after, before, "%s: nothing is left open", e->name);
	is_int(count(e->told), 1, "%s: told once", e->name);
	is_int(count("started worker 0"), 1, "%s: its sibling stays", e->name);
	kill(master, SIGTERM);
	is_int(waitpid(master, &status, 0), master, "%s: it ends", e->name);
	is_int(status, 0, "%s: exit status", e->name);
	close(ear);
	if (after != before || count(e->told) != 1)
		diag("%s", text);
}

int
main(void)
{
	pfk_sockopts_init(&options);
	want.options = &options;
	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	for (size_t i = 0; i < sizeof(evils) / sizeof(evils[0]); i++)
		run(&evils[i]);
	return done_testing();
}
