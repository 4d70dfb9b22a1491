/*
 * connect.c: a connection for each message: connect, send, read, close, with
 * -n of them on the way, the oldest of which is waited for.
 *
 * They come from many addresses of 127.0.0.0/8, because the side that closes
 * first keeps the port for a minute.
 */
#include <arpa/inet.h>
#include <err.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define SOURCES 250

struct conn {
	int fd;
	uint64_t since_ns;
};

static void
start(struct conn *c)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	int on = 1;

	c->fd = -1;
	if (!may_start())
		return;
	c->since_ns = clock_ns();
	from.sin_addr.s_addr = htonl(
	    INADDR_LOOPBACK + (uint32_t)(load.started % SOURCES));
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (c->fd == -1 ||
	    bind(c->fd, (struct sockaddr *)&from, sizeof(from)) == -1 ||
	    connect(c->fd, (struct sockaddr *)&load.o.to, sizeof(load.o.to)) ==
		-1)
		err(2, "connect");
	if (send(c->fd, pattern, load.o.size, MSG_NOSIGNAL) !=
	    (ssize_t)load.o.size)
		err(2, "send");
	load.started++;
	load.on_the_way++;
}

static void
end(struct conn *c)
{
	static char buf[WINDOW_MAX];
	ssize_t n;

	if (c->fd == -1)
		return;
	n = recv(c->fd, buf, load.o.size, MSG_WAITALL);
	load.now_ns = clock_ns();
	if (n != (ssize_t)load.o.size || !as_sent(buf, (size_t)n, 0))
		errx(2, "other bytes came back");
	count_message(c->since_ns);
	close(c->fd);
}

void
run_connect(void)
{
	struct conn *conns = calloc(load.o.connections, sizeof(*conns));
	unsigned i = 0;

	if (conns == NULL)
		err(2, "calloc");
	for (unsigned n = 0; n < load.o.connections; n++)
		start(&conns[n]);
	while (turn()) {
		end(&conns[i]);
		start(&conns[i]);
		i = (i + 1) % load.o.connections;
	}
	free(conns);
}
