/*
 * take.c: take the established connections of another process.
 *
 * Layer: transport.  unix(7), SCM_RIGHTS.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/handover.h"
#include "transport/packet.h"
#include "transport/server.h"

#define ANSWER_PATIENCE_MS 1000
/* Descriptors that a bounded taker leaves for other purposes. */
#define SPARE_FDS 16

struct packet {
	struct pfk__packet_header h;
	const char *rest; /* state, then unsent bytes */
	int fd;
};

/* Its descriptor, and that of the file, if any; -1 for none. */
static void
take_descriptors(struct msghdr *m, int fds[2])
{
	struct cmsghdr *cm = CMSG_FIRSTHDR(m);

	fds[0] = fds[1] = -1;
	if (cm != NULL && cm->cmsg_level == SOL_SOCKET &&
	    cm->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(cm), cm->cmsg_len - CMSG_LEN(0));
}

static bool
read_apart(int fd, char *buf, size_t len)
{
	bool all = fd != -1 && pread(fd, buf, len, 0) == (ssize_t)len;

	if (fd != -1)
		close(fd);
	return all;
}

/* 1, 0 at the end, -1 with errno. */
static int
receive_packet(int from, char *buf, struct packet *p)
{
	union pfk__packet_control control;
	struct iovec iov = {buf, PFK__PACKET_MAX};
	struct msghdr m = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.buf,
	    .msg_controllen = sizeof(control.buf)};
	ssize_t n = recvmsg(from, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int fds[2];
	size_t len;

	p->fd = -1;
	if (n == -1)
		return -1;
	take_descriptors(&m, fds);
	/* A packet of no bytes may have descriptors; the end has none. */
	if (n == 0 && fds[0] == -1)
		return 0;
	p->fd = fds[0];
	errno = EPROTO;
	if ((size_t)n < sizeof(p->h) || (m.msg_flags & MSG_TRUNC) != 0)
		goto err;
	memcpy(&p->h, buf, sizeof(p->h));
	p->rest = buf + sizeof(p->h);
	len = sizeof(p->h) + (size_t)p->h.state_len;
	if ((size_t)n != (p->h.apart ? len : len + p->h.unsent_len) ||
	    len + p->h.unsent_len > PFK__PACKET_MAX)
		goto err;
	if (!p->h.apart && fds[1] == -1)
		return 1;
	if (!p->h.apart)
		goto err;
	/* Out of descriptors: it is refused, as without the first one. */
	if (!read_apart(fds[1], buf + len, p->h.unsent_len) && p->fd != -1) {
		close(p->fd);
		p->fd = -1;
	}
	return 1;
err:
	if (fds[1] != -1)
		close(fds[1]);
	return -1;
}

static bool
has_room(const struct pfk_server *s, int fd, bool bounded)
{
	struct rlimit r;

	if (fd == -1)
		return false;
	if (!bounded)
		return true;
	/* The lowest free number is given, so it tells how many there are. */
	return pfk__limits_open(s->limits) &&
	    (getrlimit(RLIMIT_NOFILE, &r) == -1 ||
		(rlim_t)fd + SPARE_FDS < r.rlim_cur);
}

static enum pfk__answer
take(struct pfk_loop *l, struct packet *p, bool bounded)
{
	struct pfk_server *s = pfk__server_find(l, &p->h.local);
	struct pfk_transport *tr;

	if (s == NULL || s->proto->connection_resumed == NULL)
		return PFK__ANSWER_REFUSED;
	if (!has_room(s, p->fd, bounded))
		return PFK__ANSWER_FULL;
	tr = pfk__server_take(s, p->fd, &p->h.peer);
	if (tr == NULL)
		return PFK__ANSWER_FULL;
	p->fd = -1; /* the transport's now */
	l->ledger->head->taking = tr->io.fd + 1;
	tr->shared = true;
	pfk__server_backdate(s, tr, p->h.idle_ns);
	pfk__tcp_backdate(tr, p->h.since_ns);
	tr->low = p->h.low;
	tr->high = p->h.high;
	tr->paused = p->h.paused;
	tr->told_pause = p->h.told_pause;
	tr->eof_received = p->h.eof_received;
	tr->eof_wanted = p->h.eof_wanted;
	tr->eof_sent = p->h.eof_sent;
	pfk__tcp_baseline(tr);
	if (pfk__tcp_resume(tr, s->arg, p->rest, p->h.state_len,
		p->rest + p->h.state_len, p->h.unsent_len) == 0)
		return PFK__ANSWER_TAKEN;
	pfk__tcp_end(tr);
	return PFK__ANSWER_REFUSED;
}

static int
answer_packet(int to, enum pfk__answer a)
{
	struct pollfd p = {.fd = to, .events = POLLOUT};
	char byte = (char)a;

	while (send(to, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == -1) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN || poll(&p, 1, ANSWER_PATIENCE_MS) != 1)
			return -1;
	}
	return 0;
}

struct taker {
	struct pfk__member member; /* first: the loop hands it back */
	struct pfk_io io;
	bool bounded;
};

static void
end_taking(struct taker *t)
{
	struct pfk_loop *l = t->io.loop;

	pfk__io_stop(&t->io);
	close(t->io.fd);
	pfk__member_remove(&t->member);
	free(t);
	if (l->taken != NULL)
		l->taken(l->taken_arg);
}

static void
on_taker_ready(void *arg, unsigned ready)
{
	struct taker *t = arg;
	char *buf = t->io.loop->scratch;

	(void)ready;
	for (int i = 0; i < PFK__PACKETS_A_TURN; i++) {
		struct packet p;
		int rc = receive_packet(t->io.fd, buf, &p);
		enum pfk__answer a = PFK__ANSWER_REFUSED;

		if (rc == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		if (rc == 1)
			a = take(t->io.loop, &p, t->bounded);
		/* Not taken: our duplicate goes, the giver has its own. */
		if (a != PFK__ANSWER_TAKEN && p.fd != -1)
			close(p.fd);
		if (rc != 1 || answer_packet(t->io.fd, a) == -1) {
			end_taking(t);
			return;
		}
		t->io.loop->ledger->head->taking = 0;
	}
}

static void
drain_taker(struct pfk__member *m, enum pfk_drain how)
{
	if (how == PFK_DRAIN_NOW)
		end_taking((struct taker *)m);
}

void
pfk__handover_take(struct pfk_loop *l, int fd, bool bounded)
{
	struct taker *t = calloc(1, sizeof(*t));

	if (t != NULL &&
	    pfk__io_start(l, &t->io, fd, PFK_READ, on_taker_ready, t) == 0) {
		t->bounded = bounded;
		pfk__member_add(l, &t->member, drain_taker);
		return;
	}
	pfk_warn("cannot take connections over");
	free(t);
	close(fd);
	if (l->taken != NULL)
		l->taken(l->taken_arg);
}
