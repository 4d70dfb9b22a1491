/*
 * floor.c: the least that an echo server on a readiness loop can do: wait,
 * recv, send, and for UDP 64 datagrams a call.  It keeps no state, checks
 * nothing and bounds nothing; its cost is the kernel's cost, and the cost of
 * the other servers is given as a multiple of it.  It reads up to 256 KiB by one
 * call, because a floor that reads 64 KiB costs 1.4 times as much in bulk.
 *
 *	floor tcp|udp		prints "ready PORT"
 *
 * Accepted sockets block: a write that the kernel cannot take at once waits,
 * for there is nowhere to keep the rest.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 256
#define BATCH 64
#define READ_BYTES 262144
#define DATAGRAM_BYTES 2048

static int
open_port(int type)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a, len) == -1)
		err(1, "bind");
	if (type == SOCK_STREAM && listen(fd, 4096) == -1)
		err(1, "listen");
	getsockname(fd, (struct sockaddr *)&a, &len);
	printf("ready %d\n", ntohs(a.sin_port));
	fflush(stdout);
	return fd;
}

static void
watch(int ep, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == -1)
		err(1, "epoll_ctl");
}

static void
echo_bytes(int fd)
{
	static char buf[READ_BYTES];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);

	if (n <= 0 || send(fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
		close(fd);
}

static void
serve_tcp(int ep, int listener)
{
	struct epoll_event ready[EVENTS];

	for (;;) {
		int n = epoll_wait(ep, ready, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			int fd = ready[i].data.fd;

			if (fd != listener) {
				echo_bytes(fd);
				continue;
			}
			fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
			if (fd != -1)
				watch(ep, fd);
		}
	}
}

static struct mmsghdr msgs[BATCH];
static struct iovec iov[BATCH];

static void
prepare(void)
{
	static char bufs[BATCH][DATAGRAM_BYTES];
	static struct sockaddr_in from[BATCH];

	for (int i = 0; i < BATCH; i++) {
		iov[i].iov_base = bufs[i];
		iov[i].iov_len = sizeof(bufs[i]);
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
		msgs[i].msg_hdr.msg_name = &from[i];
		msgs[i].msg_hdr.msg_namelen = sizeof(from[i]);
	}
}

static void
echo_datagrams(int fd)
{
	int n = recvmmsg(fd, msgs, BATCH, MSG_DONTWAIT, NULL), sent = 0;

	for (int i = 0; i < n; i++)
		iov[i].iov_len = msgs[i].msg_len;
	while (sent < n) {
		int k = sendmmsg(fd, msgs + sent, (unsigned)(n - sent), 0);

		sent += k > 0 ? k : 1;
	}
	for (int i = 0; i < n; i++)
		iov[i].iov_len = DATAGRAM_BYTES;
}

static void
serve_udp(int ep)
{
	struct epoll_event ready;

	prepare();
	for (;;) {
		if (epoll_wait(ep, &ready, 1, -1) == 1)
			echo_datagrams(ready.data.fd);
	}
}

int
main(int argc, char *argv[])
{
	int udp = argc > 1 && strcmp(argv[1], "udp") == 0;
	int ep = epoll_create1(EPOLL_CLOEXEC);
	int fd = open_port(udp ? SOCK_DGRAM : SOCK_STREAM);

	watch(ep, fd);
	if (udp)
		serve_udp(ep);
	serve_tcp(ep, fd);
	return 0;
}
