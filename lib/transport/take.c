/*
 * take.c: take the established connections of another process.
 *
 * Layer: transport.  unix(7), SCM_RIGHTS.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/received.h"
#include "transport/handover.h"
#include "transport/input.h"
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

/*
 * The bytes out of a file.  Only one in memory has seals: another one,
 * on a file system of the giver's, say, could be slow to read.
 */
static bool
read_apart(int fd, char *buf, size_t len)
{
	return fcntl(fd, F_GET_SEALS) != -1 &&
	    pread(fd, buf, len, 0) == (ssize_t)len;
}

/* A stream of ours that is connected: it waits for nothing from now on. */
static bool
is_connection(int fd)
{
	int type = 0, listens = 1;
	socklen_t len = sizeof(int);
	struct pfk_addr peer = {.len = sizeof(peer.in6)};

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	    type == SOCK_STREAM &&
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 &&
	    !listens && getsockname(fd, &peer.sa, &peer.len) == 0 &&
	    (peer.sa.sa_family == AF_INET || peer.sa.sa_family == AF_INET6 ||
		peer.sa.sa_family == AF_UNIX) &&
	    fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

static bool
is_input_plausible(const struct pfk__packet_header *h)
{
	return h->left_len <= PFK__LEFT_MAX &&
	    (h->mode == PFK__RECEIVE_ANY ||
		(h->mode <= PFK__RECEIVE_UNTIL && h->want > 0 &&
		    h->want <= PFK_RECEIVE_MAX));
}

static bool
unpack(struct packet *p, char *buf, size_t n, const struct pfk__parcel *parcel,
    int version)
{
	size_t head = version > 2 ? sizeof(p->h) : PFK__HEADER_V2;
	size_t len, inside;

	if (n < head || parcel->too_long || parcel->n > 2)
		return false;
	p->h = (struct pfk__packet_header){0};
	memcpy(&p->h, buf, head);
	if (version <= 2)
		p->h.mode = PFK__RECEIVE_ANY;
	p->rest = buf + head;
	len = head + (size_t)p->h.state_len;
	inside = version == 1 ? len : head;
	len += (size_t)p->h.unsent_len + p->h.left_len;
	if (n != (p->h.apart ? inside : len) || len > PFK__PACKET_MAX ||
	    p->h.low > p->h.high || !is_input_plausible(&p->h) ||
	    (!p->h.apart && parcel->n > 1) ||
	    (parcel->fds[0] != -1 && !is_connection(parcel->fds[0])))
		return false;
	/* Out of descriptors: it is refused, as without the first one. */
	if (!p->h.apart ||
	    read_apart(parcel->fds[1], buf + inside, len - inside))
		p->fd = parcel->fds[0];
	return true;
}

/* 1, 0 at the end, -1 with errno. */
static int
receive_packet(int from, char *buf, struct packet *p, int version)
{
	struct pfk__parcel parcel;
	ssize_t n = pfk__receive(from, buf, PFK__PACKET_MAX, &parcel);
	bool good;

	p->fd = -1;
	if (n == -1 || parcel.is_end)
		return n == -1 ? -1 : 0;
	good = unpack(p, buf, (size_t)n, &parcel, version);
	if (p->fd != -1)
		parcel.fds[0] = -1;
	pfk__parcel_close(&parcel);
	errno = EPROTO;
	return good ? 1 : -1;
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
	return pfk__limits_have_room(s->limits) &&
	    (getrlimit(RLIMIT_NOFILE, &r) == -1 ||
		(rlim_t)fd + SPARE_FDS < r.rlim_cur);
}

static int
restore_input(struct pfk_transport *tr, const struct packet *p)
{
	struct pfk__input *in;

	if (p->h.mode == PFK__RECEIVE_ANY && p->h.left_len == 0)
		return 0;
	if (pfk__need_extra(tr) == NULL)
		return -1;
	in = &tr->extra->in;
	in->mode = p->h.mode;
	in->last = (char)p->h.last;
	if (in->mode != PFK__RECEIVE_ANY)
		in->want = p->h.want;
	return pfk__input_restore(tr,
	    p->rest + p->h.state_len + p->h.unsent_len, p->h.left_len);
}

/* Go on with the connection as the packet says. */
static int
resume(struct pfk_server *s, struct pfk_transport *tr, const struct packet *p)
{
	tr->shared = true;
	pfk__roster_backdate(tr, p->h.idle_ns);
	pfk__tcp_backdate(tr, p->h.since_ns);
	tr->low = p->h.low;
	tr->high = p->h.high;
	tr->paused = p->h.paused;
	tr->told_pause = p->h.told_pause;
	tr->eof_received = p->h.eof_received;
	tr->eof_wanted = p->h.eof_wanted;
	tr->eof_sent = p->h.eof_sent;
	if (restore_input(tr, p) == -1)
		return -1;
	pfk__tcp_baseline(tr);
	return pfk__tcp_resume(tr, s->roster.arg, p->rest, p->h.state_len,
	    p->rest + p->h.state_len, p->h.unsent_len);
}

static enum pfk__answer
take(struct pfk_loop *l, struct packet *p, bool bounded)
{
	struct pfk_server *s = pfk__server_find(l, &p->h.local);
	struct pfk_transport *tr;

	/* As one that leaves it has no server any more, but others have. */
	if (s == NULL && l->drained != PFK__NO_DRAIN)
		return PFK__ANSWER_FULL;
	if (s == NULL || s->roster.proto->connection_resumed == NULL)
		return PFK__ANSWER_REFUSED;
	if (!has_room(s, p->fd, bounded))
		return PFK__ANSWER_FULL;
	/* Its record is not yet worth anything. */
	l->ledger->head->taking = p->fd + 1;
	pfk__in_order();
	pfk__point(l->ledger);
	tr = pfk__server_take(s, p->fd, &p->h.peer);
	if (tr == NULL)
		return PFK__ANSWER_FULL;
	p->fd = -1; /* the transport's now */
	pfk__point(l->ledger);
	if (resume(s, tr, p) == 0)
		return PFK__ANSWER_TAKEN;
	pfk__tcp_end(tr);
	return PFK__ANSWER_REFUSED;
}

static int
send_verdict(int to, const void *v, size_t len)
{
	struct pollfd p = {.fd = to, .events = POLLOUT};

	while (send(to, v, len, MSG_NOSIGNAL | MSG_DONTWAIT) == -1) {
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
	uint32_t number; /* of the next packet */
	bool bounded;
	int version; /* of the giver's program */
	bool alone;  /* the giver has died */
};

/*
 * From the store of verdict_to on the connection is ours, whether this process
 * sends the answer or its successor.
 */
static int
answer_packet(struct taker *t, enum pfk__answer answer)
{
	union pfk__reply v = {.number = t->number++, .answer = answer};
	struct pfk__ledger *g = t->io.loop->ledger;
	struct pfk__ledger_head *h = g->head;
	int rc = 0;

	if (t->version == 1) {
		char byte = (char)answer;

		h->taking = 0;
		return send_verdict(t->io.fd, &byte, 1);
	}
	pfk__point(g);
	if (answer == PFK__ANSWER_TAKEN) {
		h->verdict = v.word;
		pfk__in_order();
		h->verdict_to = t->io.fd + 1;
		pfk__in_order();
		pfk__point(g);
	}
	if (!t->alone && send_verdict(t->io.fd, &v, sizeof(v)) == -1) {
		rc = errno == EPIPE || errno == ECONNRESET ? 0 : -1;
		t->alone = rc == 0;
	}
	pfk__point(g);
	h->taking = 0;
	pfk__in_order();
	pfk__point(g);
	h->verdict_to = 0;
	return rc;
}

static void
end_taking(struct taker *t)
{
	struct pfk_loop *l = t->io.loop;

	pfk__io_stop(&t->io);
	pfk__close_emptied(t->io.fd);
	pfk__member_remove(l, &t->member);
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
		int rc = receive_packet(t->io.fd, buf, &p, t->version);
		enum pfk__answer a = PFK__ANSWER_REFUSED;

		/* A giver that has died leaves its packets, which nobody else
		 * has, behind the error. */
		if (rc == -1 && p.fd == -1 && errno == ECONNRESET)
			continue;
		if (rc == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		if (rc == 1)
			a = take(t->io.loop, &p, t->bounded && !t->alone);
		/* Not taken: our duplicate goes, the giver has its own. */
		if (a != PFK__ANSWER_TAKEN && p.fd != -1)
			pfk__close_received(p.fd);
		if (rc != 1 || answer_packet(t, a) == -1) {
			end_taking(t);
			return;
		}
	}
}

static void
drain_taker(struct pfk__member *m, enum pfk_drain how)
{
	if (how == PFK_DRAIN_NOW)
		end_taking((struct taker *)m);
}

void
pfk__handover_take(struct pfk_loop *l, int fd, bool bounded, int version)
{
	struct taker *t = calloc(1, sizeof(*t));

	if (t != NULL &&
	    pfk__io_start(l, &t->io, fd, PFK_READ, on_taker_ready, t) == 0) {
		t->bounded = bounded;
		t->version = version;
		pfk__member_add(l, &t->member, drain_taker);
		return;
	}
	pfk_log(PFK_WARNING,
	    "cannot watch a channel to take connections over: %s; they stay in "
	    "the worker that offers them",
	    strerror(errno));
	free(t);
	close(fd);
	if (l->taken != NULL)
		l->taken(l->taken_arg);
}
