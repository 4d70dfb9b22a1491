/*
 * tcp.c: connections that stay, with messages on the way on each of them or,
 * by -a, on a few at a time, each connection in its turn.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define EVENTS 512
#define READ_BYTES (256u << 10)

struct conn {
	int fd;
	bool writing;
	unsigned owed, first;       /* messages on the way, the oldest's time */
	uint64_t wanted, sent, got; /* bytes of the stream */
	uint64_t *since_ns;
};

static struct conn *conns;
static unsigned cursor;
static int ep;

static void
open_conn(struct conn *c)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
	int on = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd == -1)
		err(2, "socket");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(c->fd, (struct sockaddr *)&load.o.to, sizeof(load.o.to)) ==
	    -1)
		err(2, "connect");
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	c->since_ns = calloc(load.o.depth, sizeof(*c->since_ns));
	if (c->since_ns == NULL || epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev))
		err(2, "connection");
}

static void
flush(struct conn *c)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
	ssize_t n = send(c->fd, pattern + c->sent % SPAN,
	    (size_t)(c->wanted - c->sent), MSG_NOSIGNAL);

	if (n == -1 && errno != EAGAIN)
		err(2, "send");
	c->sent += n > 0 ? (uint64_t)n : 0;
	if ((c->sent < c->wanted) == c->writing)
		return;
	c->writing = !c->writing;
	ev.events |= c->writing ? EPOLLOUT : 0;
	epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &ev);
}

static void
start_messages(struct conn *c, unsigned n)
{
	unsigned started = 0;

	for (; started < n && may_start(); started++) {
		c->since_ns[(c->first + c->owed++) % load.o.depth] =
		    load.now_ns;
		c->wanted += load.o.size;
		load.started++;
		load.on_the_way++;
	}
	if (started > 0 && !c->writing)
		flush(c);
}

/* One more, on the next connection that has none. */
static void
start_elsewhere(void)
{
	do {
		cursor = cursor + 1 < load.o.connections ? cursor + 1 : 0;
	} while (conns[cursor].owed > 0);
	start_messages(&conns[cursor], 1);
}

static void
receive(struct conn *c)
{
	static char buf[READ_BYTES];
	ssize_t n = recv(c->fd, buf, sizeof(buf), 0);
	unsigned done;

	if (n == -1 && errno == EAGAIN)
		return;
	if (n <= 0)
		errx(2, "the server ended a connection");
	if (!as_sent(buf, (size_t)n, c->got))
		errx(2, "other bytes came back");
	done = (unsigned)((c->got + (uint64_t)n) / load.o.size -
	    c->got / load.o.size);
	c->got += (uint64_t)n;
	if (done > c->owed)
		errx(2, "more came back than was sent");
	for (unsigned i = 0; i < done; i++) {
		count_message(c->since_ns[c->first]);
		c->first = (c->first + 1) % load.o.depth;
	}
	c->owed -= done;
	if (load.o.active == 0)
		start_messages(c, done);
	else if (done > 0)
		start_elsewhere();
}

static void
start_all(void)
{
	load.now_ns = clock_ns();
	if (load.o.active == 0) {
		for (unsigned i = 0; i < load.o.connections; i++)
			start_messages(&conns[i], load.o.depth);
		return;
	}
	if (load.o.active > load.o.connections || load.o.depth > 1)
		errx(2, "bad usage: -a with -n or -k");
	for (unsigned i = 0; i < load.o.active; i++)
		start_elsewhere();
}

void
run_tcp(void)
{
	struct epoll_event ready[EVENTS];
	unsigned all = load.o.idle + load.o.connections;

	ep = epoll_create1(EPOLL_CLOEXEC);
	conns = calloc(all, sizeof(*conns));
	if (conns == NULL)
		err(2, "calloc");
	/*
	 * The idle ones are first: a server that looks at all meets them first.
	 */
	for (unsigned i = 0; i < all; i++)
		open_conn(&conns[(i + load.o.connections) % all]);
	start_all();
	while (turn()) {
		int n = epoll_wait(ep, ready, EVENTS, 10);

		load.now_ns = clock_ns();
		for (int i = 0; i < n; i++) {
			struct conn *c = ready[i].data.ptr;

			if ((ready[i].events & EPOLLOUT) != 0)
				flush(c);
			if ((ready[i].events & ~(unsigned)EPOLLOUT) != 0)
				receive(c);
		}
	}
}
