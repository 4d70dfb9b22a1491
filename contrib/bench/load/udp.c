/*
 * udp.c: sockets with a window of datagrams each.  Each datagram has its number
 * in front, so that one lost or doubled is seen; a datagram without an answer
 * after a while is lost, and another is sent in its place.
 *
 * The receiving side takes segments (UDP_GRO): the segments of a server's
 * UDP_SEGMENT are then not cut up on the server's account, as it would not be
 * where a network lies between.
 */
#include <err.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define EVENTS 256
#define BATCH 64
#define LATE_NS NS

struct sock {
	int fd;
	unsigned n_due;
	uint64_t *number, *since_ns; /* of each place in the window */
	bool *owed;
	unsigned *due; /* places to send for */
};

static struct sock *socks;
static char *out; /* a batch's datagrams, one behind another */
static char in[BATCH][65536];
static int ep;

static void *
get(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (p == NULL)
		err(2, "calloc");
	return p;
}

static void
open_sock(struct sock *s)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = s};
	int on = 1;

	s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(s->fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on));
	if (s->fd == -1 ||
	    connect(s->fd, (struct sockaddr *)&load.o.to, sizeof(load.o.to)) ==
		-1 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &ev) == -1)
		err(2, "socket");
	s->number = get(load.o.depth, sizeof(*s->number));
	s->since_ns = get(load.o.depth, sizeof(*s->since_ns));
	s->owed = get(load.o.depth, sizeof(*s->owed));
	s->due = get(load.o.depth, sizeof(*s->due));
	for (unsigned i = 0; i < load.o.depth; i++) {
		s->number[i] = i;
		s->due[s->n_due++] = i;
	}
}

static void
send_segments(struct sock *s, char *buf, unsigned n)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(uint16_t))];
	} control = {0};
	struct iovec iov = {buf, (size_t)n * load.o.size};
	struct msghdr m = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	uint16_t size = (uint16_t)load.o.size;

	c->cmsg_level = SOL_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(size));
	memcpy(CMSG_DATA(c), &size, sizeof(size));
	if (sendmsg(s->fd, &m, 0) == -1 && errno != EAGAIN)
		err(2, "sendmsg");
}

static void
send_each(struct sock *s, char *buf, unsigned n)
{
	struct iovec iov[BATCH];
	struct mmsghdr m[BATCH] = {0};

	for (unsigned i = 0; i < n; i++) {
		iov[i].iov_base = buf + (size_t)i * load.o.size;
		iov[i].iov_len = load.o.size;
		m[i].msg_hdr.msg_iov = &iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	if (sendmmsg(s->fd, m, n, 0) == -1 && errno != EAGAIN)
		err(2, "sendmmsg");
}

/* A datagram that the kernel refuses is late, and then lost. */
static void
send_due(struct sock *s)
{
	unsigned most = load.o.segments > 1 ? load.o.segments : BATCH;

	for (unsigned i = 0; i < s->n_due && may_start();) {
		unsigned n = 0;

		for (; n < most && i < s->n_due && may_start(); n++, i++) {
			unsigned place = s->due[i];

			memcpy(out + (size_t)n * load.o.size, &s->number[place],
			    sizeof(uint64_t));
			s->owed[place] = true;
			s->since_ns[place] = load.now_ns;
			load.started++;
			load.on_the_way++;
		}
		if (load.o.segments > 1)
			send_segments(s, out, n);
		else
			send_each(s, out, n);
	}
	s->n_due = 0;
}

static void
received(struct sock *s, const char *buf)
{
	uint64_t number;
	unsigned place;

	memcpy(&number, buf, sizeof(number));
	place = (unsigned)(number % load.o.depth);
	if (!s->owed[place] || s->number[place] != number)
		return; /* late, and counted as lost */
	if (memcmp(buf + 8, pattern + 8, load.o.size - 8) != 0)
		errx(2, "other bytes came back");
	count_message(s->since_ns[place]);
	s->owed[place] = false;
	s->number[place] += load.o.depth;
	s->due[s->n_due++] = place;
}

static void
receive(struct sock *s)
{
	struct iovec iov[BATCH];
	struct mmsghdr m[BATCH] = {0};
	int n;

	for (int i = 0; i < BATCH; i++) {
		iov[i].iov_base = in[i];
		iov[i].iov_len = sizeof(in[i]);
		m[i].msg_hdr.msg_iov = &iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	n = recvmmsg(s->fd, m, BATCH, MSG_DONTWAIT, NULL);
	if (n == -1 && errno != EAGAIN)
		err(2, "recvmmsg");
	for (int i = 0; i < n; i++) {
		/* Segments are all of one size: ours. */
		if (m[i].msg_len == 0 || m[i].msg_len % load.o.size != 0)
			errx(2, "a datagram of %u bytes came", m[i].msg_len);
		for (unsigned o = 0; o < m[i].msg_len; o += load.o.size)
			received(s, in[i] + o);
	}
	send_due(s);
}

static void
give_up_late(void)
{
	for (unsigned i = 0; i < load.o.connections; i++) {
		struct sock *s = &socks[i];

		for (unsigned k = 0; k < load.o.depth; k++) {
			if (!s->owed[k] ||
			    load.now_ns - s->since_ns[k] < LATE_NS)
				continue;
			s->owed[k] = false;
			s->number[k] += load.o.depth;
			s->due[s->n_due++] = k;
			load.lost++;
			load.on_the_way--;
		}
		send_due(s);
	}
}

void
run_udp(void)
{
	struct epoll_event ready[EVENTS];
	uint64_t look_ns = 0;

	ep = epoll_create1(EPOLL_CLOEXEC);
	socks = get(load.o.connections, sizeof(*socks));
	out = get(BATCH, load.o.size);
	for (unsigned i = 0; i < BATCH; i++)
		memcpy(out + (size_t)i * load.o.size, pattern, load.o.size);
	for (unsigned i = 0; i < load.o.connections; i++)
		open_sock(&socks[i]);
	while (turn()) {
		int n;

		if (load.now_ns >= look_ns) {
			give_up_late();
			look_ns = load.now_ns + LATE_NS / 10;
		}
		n = epoll_wait(ep, ready, EVENTS, 10);
		load.now_ns = clock_ns();
		for (int i = 0; i < n; i++)
			receive(ready[i].data.ptr);
	}
}
