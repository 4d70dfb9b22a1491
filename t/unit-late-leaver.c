/*
 * A worker that is leaving when its master dies finds the next master, too: it is
 * ordered to leave, its last connections go on, and they go over when they can.  Orders
 * of prefork-ctl do not wait for it in vain.
 */
#include <poll.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/parent.h"
#include "echo.h"
#include "service.h"
#include "tap.h"
#include "tree.h"
#include "unit.h"

#define LOOK_NS (5 * PFK_MSEC_NS)
/* From the knock to the note that the channel is the next master's. */
#define POINTS 3

/* Shared with the workers. */
static struct plan {
	uint64_t
	    die_at; /* one that leaves: at that point from the next look on */
	int busy;   /* connections are not to be handed over now */
	int fail;   /* workers do not start */
} * plan;
static struct pfk_sockopts options;
static struct pfk_listen want = {.kind = PFK_TCP, .options = &options};
static struct pfk_loop *loop;
static bool leaves, left;

/* the service */

static void *
resumed(struct pfk_transport *tr, void *arg, const void *buf, size_t len)
{
	(void)arg;
	(void)buf;
	(void)len;
	pfk_log(PFK_INFO, "resumed");
	return tr;
}

static ssize_t
hand_over(void *self, void *buf, size_t room)
{
	(void)self;
	(void)buf;
	(void)room;
	return __atomic_load_n(&plan->busy, __ATOMIC_ACQUIRE) != 0 ? PFK_LATER
								   : 0;
}

static const struct pfk_protocol echo = {.connection_made = echo_made,
    .data_received = echo_received,
    .hand_over = hand_over,
    .connection_resumed = resumed,
    .survives = true};

static void
look(void *arg)
{
	uint64_t n = __atomic_load_n(&plan->die_at, __ATOMIC_RELAXED);

	(void)arg;
	/* Its listeners are closed in the turn of the order. */
	if (n == 0 || !leaves || !left) {
		left = leaves;
		pfk_later(loop, LOOK_NS, look, NULL);
		return;
	}
	plan->die_at = 0;
	pfk_die_at(loop, n);
}

static void
worker_leaving(struct pfk_worker *w, enum pfk_drain why, uint64_t until_ns,
    void *arg)
{
	(void)w;
	(void)until_ns;
	(void)arg;
	leaves = why == PFK_DRAIN_LEAVE;
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	(void)arg;
	loop = pfk_worker_loop(w);
	if (plan->fail != 0)
		return pfk_worker_fail(w, 1, "it was told to fail");
	if (echo_serve(w, &want, &echo) == -1)
		return -1;
	return pfk_later(loop, LOOK_NS, look, NULL);
}

static const struct pfk_hooks hooks = {.worker_init = worker_init,
    .worker_leaving = worker_leaving};

/* the test */

static void
begin(void)
{
	service_start(&hooks, 1);
	if (!ok(service_wait(0, "ready: 1 worker") != 0, "a service"))
		diag("%s", service_log());
}

static void
reload(void)
{
	size_t at = service_log_size();

	service_signal(SIGHUP);
	if (service_wait(at, "reloaded: 1 worker") == 0)
		fail("no reload");
}

/* A service with a worker that leaves, because of the client that is returned. */
static int
begin_to_leave(void)
{
	int client;

	plan->busy = 1;
	begin();
	client = service_connect((uint16_t)pfk_addr_port(&want.addr), 0);
	ok(service_echoes(client, 'a'), "with a client");
	reload();
	return client;
}

/* The next master has the slot's worker, and the one that leaves. */
static void
take_over(void)
{
	service_end(SIGKILL);
	begin();
	if (!ok(service_wait(0, "of a master that has died, which leaves") != 0,
		"takes the worker over that leaves"))
		diag("%s", service_log());
	ok(service_wait(0, "reloaded: 1 worker") != 0, "and renews the other");
}

/* Its last connection ends, or has gone over. */
static void
end(int client, const char *name)
{
	plan->busy = 0;
	if (!ok(service_wait(0, "resumed") != 0, "%s: it goes over", name))
		diag("%s", service_log());
	ok(service_echoes(client, 'z'), "and lives");
	is_int(service_count("exited with") + service_count("killed by"), 0,
	    "no worker ended before");
	close(client);
	is_int(service_end(SIGTERM), 0, "exit status");
}

static void
test_twice(void)
{
	int client = begin_to_leave();

	for (int i = 0; i < 2; i++) {
		take_over();
		ok(service_echoes(client, 'b'), "its client is served");
	}
	end(client, "after two deaths");
}

static void
test_killed(uint64_t point)
{
	int client = begin_to_leave();

	plan->die_at = point;
	while (__atomic_load_n(&plan->die_at, __ATOMIC_RELAXED) != 0)
		usleep(1000);
	take_over();
	ok(service_echoes(client, 'c'), "killed at point %u, and served",
	    (unsigned)point);
	end(client, "killed on its way");
}

/* Those that leave wait for the next start, like the others. */
static void
test_failing_start(void)
{
	int client = begin_to_leave();

	plan->fail = 1;
	service_end(SIGKILL);
	service_start(&hooks, 2);
	ok(service_wait(0, "cannot start: it was told to fail") != 0,
	    "a start that fails");
	ok(service_end(0) != 0, "with a status");
	plan->fail = 0;
	ok(service_echoes(client, 'd'), "ends no connection");
	take_over();
	end(client, "after a start that failed");
}

/* After eight reloads and a second it is killed, as any other that leaves. */
static void
test_bound(void)
{
	int client = begin_to_leave();

	take_over();
	for (int i = 0;
	     i < 9 || (i < 5000 && service_count("reloads; killing it") == 0);
	     i++)
		reload();
	ok(service_wait(0, "reloads; killing it") != 0,
	    "one that never goes is killed");
	close(client);
	is_int(service_end(SIGTERM), 0, "exit status");
}

/* An answer of the control socket. */
static const char *
read_answer(int fd)
{
	static char answer[1000];
	size_t n = 0;

	while (n < sizeof(answer) - 1 && unit_read(fd, answer + n, 1) == 1)
		n++;
	answer[n] = '\0';
	close(fd);
	return answer;
}

static bool
has_come(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static int
order(const char *line)
{
	int fd = service_connect_control();

	unit_write(fd, line, strlen(line));
	return fd;
}

/* It is no child of the next master's, which learns of its death by the channel. */
static void
test_orders(void)
{
	int client = begin_to_leave(), before, killing, listing;
	char text[80];
	const char *line;
	pid_t pid = 0, keeper;

	take_over();
	line = strstr(service_log(), "took over worker 0 (");
	if (line != NULL)
		sscanf(line, "took over worker 0 (%d)", &pid);
	keeper = pfk__parent_of(pid);
	ok(service_wait(0, "has ended") != 0, "the renewed worker has ended");
	before = service_fds();
	kill(pid, SIGSTOP);
	killing = order("1 kill 127.0.0.1:1\n");
	/* That order has been read when a later one has its answer. */
	read_answer(order("1 status\n"));
	listing = order("1 connections\n");
	/* Both clients, and the file for the stopped worker, or its time is up. */
	while (service_fds() < before + 3 && !has_come(listing))
		usleep(1000);
	kill(keeper, SIGKILL);
	kill(pid, SIGKILL);
	snprintf(text, sizeof(text), "worker 0 (%d)", (int)pid);
	ok(strstr(read_answer(listing), text) != NULL,
	    "a list of connections names a worker that dies");
	line = read_answer(killing);
	if (!ok(strstr(line, text) != NULL, "and so does an order to end one"))
		diag("%s", line);
	close(client);
	is_int(service_end(SIGTERM), 0, "exit status");
}

static void
test_found(void)
{
	struct pfk_orphan list[4];
	char err[PFK_ERROR_SIZE];
	int client = begin_to_leave();

	service_end(SIGKILL);
	is_int(pfk_orphans(service_control, list, 4, err), 2, "both are found");
	is_int(list[0].slot + list[1].slot, 0, "by their slot");
	ok(list[0].pid != list[1].pid, "and their pids");
	begin();
	end(client, "found");
}

int
main(void)
{
	plan = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (plan == MAP_FAILED)
		skip_all("no shared memory");
	service_place("control");
	service_orphan_ns = 60 * PFK_SECOND_NS;
	pfk_sockopts_init(&options);
	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	pfk_addr_parse(&want.addr, "127.0.0.1", service_free_port(&hooks, 1));
	test_twice();
	for (uint64_t point = 1; point <= POINTS; point++)
		test_killed(point);
	test_failing_start();
	test_bound();
	test_orders();
	test_found();
	tree_remove();
	return done_testing();
}
