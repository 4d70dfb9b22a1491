/* libev.c: an echo server of ev_io watchers, and its twin for UDP. */
#include <arpa/inet.h>
#include <ev.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char buf[65536];

struct client {
	struct ev_io io;
	char *rest; /* bytes that the kernel did not take */
	size_t offset, len;
};

static void on_ready(struct ev_loop *loop, struct ev_io *io, int what);

static void
watch(struct ev_loop *loop, struct client *c, int what)
{
	ev_io_stop(loop, &c->io);
	ev_io_set(&c->io, c->io.fd, what);
	ev_io_start(loop, &c->io);
}

static void
flush(struct ev_loop *loop, struct client *c)
{
	ssize_t n = send(c->io.fd, c->rest + c->offset, c->len - c->offset,
	    MSG_NOSIGNAL);

	c->offset += n > 0 ? (size_t)n : 0;
	if (c->offset < c->len)
		return;
	free(c->rest);
	c->rest = NULL;
	watch(loop, c, EV_READ);
}

static void
end(struct ev_loop *loop, struct client *c)
{
	ev_io_stop(loop, &c->io);
	close(c->io.fd);
	free(c->rest);
	free(c);
}

static void
on_ready(struct ev_loop *loop, struct ev_io *io, int what)
{
	struct client *c = (struct client *)io;
	ssize_t n, sent;

	if ((what & EV_WRITE) != 0) {
		flush(loop, c);
		return;
	}
	n = recv(io->fd, buf, sizeof(buf), 0);
	if (n <= 0) {
		end(loop, c);
		return;
	}
	sent = send(io->fd, buf, (size_t)n, MSG_NOSIGNAL);
	if (sent == n)
		return;
	sent = sent > 0 ? sent : 0;
	c->offset = 0;
	c->len = (size_t)(n - sent);
	c->rest = malloc(c->len);
	memcpy(c->rest, buf + sent, c->len);
	watch(loop, c, EV_WRITE);
}

static void
on_accept(struct ev_loop *loop, struct ev_io *io, int what)
{
	int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct client *c = fd != -1 ? calloc(1, sizeof(*c)) : NULL;
	int on = 1;

	(void)what;
	if (c == NULL)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	ev_io_init(&c->io, on_ready, fd, EV_READ);
	ev_io_start(loop, &c->io);
}

static void
on_datagram(struct ev_loop *loop, struct ev_io *io, int what)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(io->fd, buf, sizeof(buf), 0,
	    (struct sockaddr *)&from, &len);

	(void)loop;
	(void)what;
	if (n >= 0)
		sendto(io->fd, buf, (size_t)n, 0, (struct sockaddr *)&from,
		    len);
}

int
main(int argc, char *argv[])
{
	int udp = argc > 1 && strcmp(argv[1], "udp") == 0;
	struct ev_loop *loop = ev_default_loop(0);
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);
	struct ev_io io;
	int fd = socket(AF_INET,
	    (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	bind(fd, (struct sockaddr *)&a, len);
	if (!udp)
		listen(fd, 4096);
	getsockname(fd, (struct sockaddr *)&a, &len);
	ev_io_init(&io, udp ? on_datagram : on_accept, fd, EV_READ);
	ev_io_start(loop, &io);
	printf("ready %d\n", ntohs(a.sin_port));
	fflush(stdout);
	return ev_run(loop, 0);
}
