/*
 * handover.c: established connections go from one process to another.
 *
 * Layer: transport.  unix(7), SCM_RIGHTS.
 */
#include "transport/handover.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/join.h"
#include "transport/server.h"

#define STATE_MAX 4096
#define UNSENT_MAX 2097152
#define INLINE_MAX \
	131072 /* more goes in a file: a socket takes no such packet */
/* Chunks that hold so many bytes; the first and the last may be in part. */
#define UNSENT_VECTORS (UNSENT_MAX / PFK__CHUNK_BYTES + 2)
#define INLINE_VECTORS (INLINE_MAX / PFK__CHUNK_BYTES + 2)
#define PACKETS_A_TURN 64
#define ANSWER_PATIENCE_MS 1000

struct header {
	struct pfk_addr local; /* the listener's, which names the server */
	struct pfk_addr peer;
	uint64_t idle_ns;  /* since its last activity */
	uint64_t since_ns; /* of its accept(2) */
	uint32_t low, high;
	uint32_t state_len, unsent_len;
	uint8_t paused, told_pause;
	uint8_t eof_received, eof_wanted, eof_sent;
	uint8_t
	    apart; /* the unsent bytes are in a file, the second descriptor */
};

#define PACKET_MAX (sizeof(struct header) + STATE_MAX + UNSENT_MAX)

static_assert(PACKET_MAX <= PFK__SCRATCH_BYTES, "no room");

enum answer { REFUSED, TAKEN };

/* giving */

struct giver {
	struct pfk__member member; /* first: the loop hands it back */
	struct pfk_io io;
	TAILQ_HEAD(, pfk_transport) given;
	bool all_sent;
};

static bool
can_give(const struct pfk_transport *tr)
{
	return tr->state == PFK__TCP_OPEN && !tr->stays && tr->self != NULL &&
	    tr->proto->hand_over != NULL && !pfk__join_paired(tr) &&
	    pfk__unsent(tr) <= UNSENT_MAX;
}

static struct pfk_transport *
next_to_give(struct pfk_loop *l)
{
	struct pfk_server *s = NULL;
	struct pfk_transport *tr;

	while ((s = pfk__server_next(l, s)) != NULL) {
		TAILQ_FOREACH(tr, &s->transports, link) {
			if (can_give(tr))
				return tr;
		}
	}
	return NULL;
}

union control {
	char buf[CMSG_SPACE(2 * sizeof(int))];
	struct cmsghdr align;
};

/* A file that holds the unsent bytes, or -1. */
static int
set_apart(const struct pfk_transport *tr)
{
	struct iovec iov[UNSENT_VECTORS];
	int n = pfk__outq_vectors(&tr->out, tr->io.loop->ledger, iov,
	    UNSENT_VECTORS);
	int fd = memfd_create("unsent", MFD_CLOEXEC);

	if (fd != -1 && writev(fd, iov, n) != (ssize_t)tr->out.len) {
		close(fd);
		errno = ENOMEM;
		fd = -1;
	}
	return fd;
}

static ssize_t
send_packet(int to, const int fds[2], const struct header *h, const void *state,
    const struct pfk_transport *tr)
{
	size_t fds_len = (h->apart ? 2 : 1) * sizeof(int);
	union control control = {0};
	struct iovec iov[2 + INLINE_VECTORS] = {{(void *)(uintptr_t)h,
						    sizeof(*h)},
	    {(void *)(uintptr_t)state, h->state_len}};
	int n = h->apart ? 0
			 : pfk__outq_vectors(&tr->out, tr->io.loop->ledger,
			       iov + 2, INLINE_VECTORS);
	struct msghdr m = {.msg_iov = iov,
	    .msg_iovlen = 2 + (size_t)n,
	    .msg_control = control.buf,
	    .msg_controllen = CMSG_SPACE(fds_len)};
	struct cmsghdr *cm = CMSG_FIRSTHDR(&m);

	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(fds_len);
	memcpy(CMSG_DATA(cm), fds, fds_len);
	return sendmsg(to, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static ssize_t
send_transport(int to, struct header *h, const void *state,
    const struct pfk_transport *tr)
{
	int fds[2] = {tr->io.fd, -1};
	ssize_t n;

	h->unsent_len = (uint32_t)tr->out.len;
	h->apart = tr->out.len > INLINE_MAX;
	if (h->apart) {
		fds[1] = set_apart(tr);
		if (fds[1] == -1)
			return -1;
	}
	n = send_packet(to, fds, h, state, tr);
	if (h->apart) {
		int saved_errno = errno;

		close(fds[1]);
		errno = saved_errno;
	}
	return n;
}

/* False: no more for now. */
static bool
give(struct giver *g, struct pfk_transport *tr)
{
	struct header h = {.local = tr->server->local,
	    .peer = tr->peer,
	    .idle_ns = pfk__server_idle_ns(tr->server, tr),
	    .since_ns = pfk__tcp_since(tr),
	    .low = tr->low,
	    .high = tr->high,
	    .paused = tr->paused,
	    .told_pause = tr->told_pause,
	    .eof_received = tr->eof_received,
	    .eof_wanted = tr->eof_wanted,
	    .eof_sent = tr->eof_sent};
	char state[STATE_MAX];
	ssize_t len = tr->proto->hand_over(tr->self, state, sizeof(state));

	if (len < 0 || len > (ssize_t)sizeof(state)) {
		tr->stays = true;
		return true;
	}
	h.state_len = (uint32_t)len;
	if (pfk__join_spill(tr) == -1) {
		pfk__tcp_lose(tr, ENOMEM);
		return true;
	}
	if (send_transport(g->io.fd, &h, state, tr) == -1) {
		/* Too many descriptors on their way: an answer makes room. */
		if (errno == ETOOMANYREFS && !TAILQ_EMPTY(&g->given))
			pfk__io_want(&g->io, PFK_READ);
		else if (errno != EAGAIN && errno != ENOBUFS)
			tr->stays = true;
		return tr->stays;
	}
	pfk__tcp_freeze(tr);
	TAILQ_REMOVE(&tr->server->transports, tr, link);
	TAILQ_INSERT_TAIL(&g->given, tr, link);
	return true;
}

static void
settle(struct giver *g, bool taken)
{
	struct pfk_transport *tr = TAILQ_FIRST(&g->given);

	if (tr == NULL)
		return;
	TAILQ_REMOVE(&g->given, tr, link);
	TAILQ_INSERT_TAIL(&tr->server->transports, tr, link);
	pfk__tcp_thaw(tr, taken);
}

static void
end_giving(struct giver *g)
{
	/* Nobody answers any more: they go on here. */
	while (!TAILQ_EMPTY(&g->given))
		settle(g, false);
	pfk__io_stop(&g->io);
	close(g->io.fd);
	pfk__member_remove(&g->member);
	free(g);
}

static void
on_giver_ready(void *arg, unsigned ready)
{
	struct giver *g = arg;
	struct pfk_transport *tr;
	char answer;
	ssize_t n;

	(void)ready;
	while ((n = recv(g->io.fd, &answer, 1, MSG_DONTWAIT)) == 1) {
		settle(g, answer == TAKEN);
		pfk__io_want(&g->io, PFK_READ | PFK_WRITE);
	}
	if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR)) {
		end_giving(g);
		return;
	}
	for (int i = 0; i < PACKETS_A_TURN && !g->all_sent; i++) {
		tr = next_to_give(g->io.loop);
		if (tr == NULL)
			g->all_sent = true;
		else if (!give(g, tr))
			break;
	}
	if (!g->all_sent)
		return;
	if (TAILQ_EMPTY(&g->given))
		end_giving(g);
	else
		pfk__io_want(&g->io, PFK_READ);
}

static void
drain_giver(struct pfk__member *m, enum pfk_drain how)
{
	if (how == PFK_DRAIN_NOW)
		end_giving((struct giver *)m);
}

void
pfk__handover_give(struct pfk_loop *l, int fd)
{
	struct giver *g = calloc(1, sizeof(*g));

	if (g == NULL ||
	    pfk__io_start(l, &g->io, fd, PFK_READ | PFK_WRITE, on_giver_ready,
		g) == -1) {
		pfk_warn("cannot hand over connections");
		free(g);
		close(fd);
		return;
	}
	TAILQ_INIT(&g->given);
	pfk__member_add(l, &g->member, drain_giver);
}

/* taking */

struct packet {
	struct header h;
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
	union control control;
	struct iovec iov = {buf, PACKET_MAX};
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
	    len + p->h.unsent_len > PACKET_MAX)
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
take(struct pfk_loop *l, struct packet *p)
{
	struct pfk_server *s = pfk__server_find(l, &p->h.local);
	struct pfk_transport *tr;

	if (p->fd == -1 || s == NULL || s->proto->connection_resumed == NULL)
		return false;
	tr = pfk__server_add(s, p->fd, &p->h.peer);
	if (tr == NULL)
		return false;
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
		return true;
	pfk__tcp_end(tr);
	return false;
}

static int
answer_packet(int to, enum answer a)
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
	for (int i = 0; i < PACKETS_A_TURN; i++) {
		struct packet p;
		int rc = receive_packet(t->io.fd, buf, &p);
		bool taken;

		if (rc == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		taken = rc == 1 && take(t->io.loop, &p);
		/* Refused: our duplicate goes, the giver has its own. */
		if (!taken && p.fd != -1)
			close(p.fd);
		if (rc != 1 ||
		    answer_packet(t->io.fd, taken ? TAKEN : REFUSED) == -1) {
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
pfk__handover_take(struct pfk_loop *l, int fd)
{
	struct taker *t = calloc(1, sizeof(*t));

	if (t != NULL &&
	    pfk__io_start(l, &t->io, fd, PFK_READ, on_taker_ready, t) == 0) {
		pfk__member_add(l, &t->member, drain_taker);
		return;
	}
	pfk_warn("cannot take connections over");
	free(t);
	close(fd);
	if (l->taken != NULL)
		l->taken(l->taken_arg);
}
