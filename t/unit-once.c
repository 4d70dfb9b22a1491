/*
 * timer.c: the callback of a timer counts as a whole, wherever the worker is killed.
 */
#include <fcntl.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service.h"
#include "tap.h"

#define SO_MANY 3
#define POINTS_MAX 400

/* A connection's block: which one it is, and how many lines it is still to get. */
struct note {
	int which, left;
};

static volatile uint64_t *die_at;
static struct pfk_sockopts options;
static struct pfk_listen want = {.kind = PFK_TCP, .options = &options};
struct pfk_server *server; /* not static: it is no leak */
static struct pfk_loop *loop;
static struct pfk_transport *both[2];
static struct pfk_timer *timer;
static int ends[2];
static struct pfk_io *io;

static void work(void *arg);

static void
on_pipe(void *arg, unsigned ready)
{
	char byte;

	(void)arg;
	if ((ready & PFK_READ) != 0 && read(ends[0], &byte, 1) == 1)
		work(NULL);
}

/* The block tells what is to be done. */
static void
set_next(void)
{
	const struct note *n = pfk_block(both[0]);

	if (n->left % 3 == 2)
		pfk_soon(loop, work, NULL);
	else if (n->left % 3 == 1 && write(ends[1], "", 1) != 1)
		pfk_log(PFK_ERROR, "cannot write");
	else if (n->left > 0 && n->left % 3 == 0)
		pfk_timer_set(&timer, loop, PFK_MSEC_NS, work, NULL);
}

/* Half of the work is nothing. */
static void
work(void *arg)
{
	int *done = pfk_loop_state(loop, sizeof(*done));

	(void)arg;
	++*done;
	for (int i = 0; i < 2; i++) {
		struct note *n = pfk_block(both[i]);
		char text[32];

		snprintf(text, sizeof(text), "%d %d %d\n", i, n->left--, *done);
		pfk_write(both[i], text, strlen(text));
	}
	set_next();
}

static void *
made(struct pfk_transport *tr, void *arg)
{
	struct note *n = pfk_block(tr);

	(void)arg;
	n->which = both[0] != NULL;
	both[n->which] = tr;
	return tr;
}

static void *
resumed(struct pfk_transport *tr, void *arg, const void *buf, size_t len)
{
	(void)arg;
	(void)buf;
	(void)len;
	both[((struct note *)pfk_block(tr))->which] = tr;
	if (both[0] != NULL && both[1] != NULL)
		set_next();
	return tr;
}

static void
received(void *self, const void *buf, size_t len)
{
	(void)self;
	(void)buf;
	(void)len;
	for (int i = 0; i < 2; i++)
		((struct note *)pfk_block(both[i]))->left = SO_MANY;
	pfk_die_at(loop, *die_at);
	set_next();
}

static const struct pfk_protocol protocol = {.connection_made = made,
    .data_received = received,
    .connection_resumed = resumed,
    .survives = true,
    .block_bytes = sizeof(struct note)};

static int
worker_init(struct pfk_worker *w, void *arg)
{
	int fd;

	(void)arg;
	loop = pfk_worker_loop(w);
	if (pfk_worker_listen(w, &want, 1, &fd) == -1 ||
	    pipe2(ends, O_NONBLOCK | O_CLOEXEC) == -1)
		return -1;
	io = pfk_io_add(loop, ends[0], PFK_READ, on_pipe, NULL);
	server = pfk_serve(loop, fd, &protocol, NULL, NULL);
	return io != NULL && server != NULL ? 0 : -1;
}

static const struct pfk_hooks hooks = {.worker_init = worker_init};

static void
read_all(int fd, char *buf, size_t n)
{
	size_t len = 0;

	while (len < n) {
		ssize_t got = recv(fd, buf + len, n - len, 0);

		if (got <= 0)
			break;
		len += (size_t)got;
	}
	buf[len] = '\0';
}

/* False: the worker did not die. */
static bool
kill_at(uint64_t point)
{
	static const char said[2][19] = {"0 3 1\n0 2 2\n0 1 3\n",
	    "1 3 1\n1 2 2\n1 1 3\n"};
	char a[64], b[64];
	uint16_t port;
	int fds[2];

	*die_at = point;
	service_start(&hooks, 1);
	service_wait(0, "ready: 1 worker");
	port = service_port();
	for (int i = 0; i < 2; i++) {
		fds[i] = service_connect(port, 0);
		ok(fds[i] != -1, "point %u: client %d", (unsigned)point, i);
	}
	send(fds[1], "x", 1, MSG_NOSIGNAL);
	read_all(fds[0], a, sizeof(said[0]) - 1);
	read_all(fds[1], b, sizeof(said[1]) - 1);
	is_str(a, said[0], "point %u: each once", (unsigned)point);
	is_str(b, said[1], "point %u: for both", (unsigned)point);
	close(fds[0]);
	close(fds[1]);
	is_int(service_end(SIGTERM), 0, "exit status");
	return service_count("killed by signal 9") > 0;
}

int
main(void)
{
	uint64_t point = 1;

	die_at = mmap(NULL, sizeof(*die_at), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pfk_sockopts_init(&options);
	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	while (point < POINTS_MAX && kill_at(point))
		point++;
	ok(point > 20 && point < POINTS_MAX, "killed at %u points",
	    (unsigned)point - 1);
	return done_testing();
}
