/*
 * handover.c: give the established connections to other processes.
 *
 * Layer: transport.  unix(7), SCM_RIGHTS.
 */
#include "transport/handover.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/received.h"
#include "transport/cork.h"
#include "transport/join.h"
#include "transport/owned.h"
#include "transport/packet.h"
#include "transport/server.h"
#include "transport/tx.h"

/* More goes in a file: a socket takes no such packet. */
#define INLINE_MAX 131072
/*
 * The chunks that hold the bytes; the first and the last of the unsent and of the
 * unconsumed ones may be in part.
 */
#define CHUNKS_OF(bytes) ((bytes) / PFK__CHUNK_BYTES + 4)
#define ALL_VECTORS CHUNKS_OF(PFK__UNSENT_MAX + PFK__LEFT_MAX)
#define INLINE_VECTORS CHUNKS_OF(INLINE_MAX)
/* Packets that one of several givers sends in a turn. */
#define SHARE 4

struct giver {
	struct pfk__member member; /* first: the loop hands it back */
	struct pfk_io io;
	TAILQ_HEAD(, pfk_transport) given;
	uint32_t sent; /* packets; the answers to them are in answered */
	uint32_t answered;
	bool all_sent; /* or the taker is full, or dead */
	char *state;   /* room for a protocol's, or NULL */
};

static void drain_giver(struct pfk__member *m, enum pfk_drain how);

static bool
can_give(const struct pfk_transport *tr)
{
	return tr->state == PFK__TCP_OPEN && !tr->stays && !tr->later &&
	    tr->self != NULL && tr->proto->hand_over != NULL &&
	    !pfk__join_paired(tr) && pfk__unsent(tr) <= PFK__UNSENT_MAX;
}

/* A connection that the program has opened has no server at the other end. */
static struct pfk_transport *
next_to_give(struct pfk_loop *l)
{
	struct pfk_server *s = NULL;
	struct pfk_transport *tr;

	while ((s = pfk__server_next(l, s)) != NULL) {
		TAILQ_FOREACH(tr, &s->roster.transports, link) {
			if (can_give(tr))
				return tr;
		}
	}
	return NULL;
}

/* The bytes behind the state. */
static int
byte_vectors(const struct pfk_transport *tr, struct iovec *iov, int max)
{
	const struct pfk__ledger *g = tr->io.loop->ledger;
	int n = pfk__outq_vectors(&tr->out, g, iov, max);

	if (tr->extra != NULL)
		n += pfk__outq_vectors(&tr->extra->in.left, g, iov + n,
		    max - n);
	return n;
}

/* A file that holds all but the header, or -1. */
static int
set_apart(const struct pfk__packet_header *h, const void *state,
    const struct pfk_transport *tr)
{
	struct iovec iov[1 + ALL_VECTORS] = {
	    {(void *)(uintptr_t)state, h->state_len}};
	int n = byte_vectors(tr, iov + 1, ALL_VECTORS);
	int fd = memfd_create("connection", MFD_CLOEXEC);

	if (fd != -1 &&
	    writev(fd, iov, 1 + n) !=
		(ssize_t)h->state_len + h->unsent_len + h->left_len) {
		close(fd);
		errno = ENOMEM;
		fd = -1;
	}
	return fd;
}

static ssize_t
send_packet(int to, const int fds[2], const struct pfk__packet_header *h,
    const void *state, const struct pfk_transport *tr)
{
	size_t fds_len = (h->apart ? 2 : 1) * sizeof(int);
	union pfk__packet_control control = {0};
	struct iovec iov[2 + INLINE_VECTORS] = {{(void *)(uintptr_t)h,
						    sizeof(*h)},
	    {(void *)(uintptr_t)state, h->state_len}};
	int n = h->apart ? 0 : byte_vectors(tr, iov + 2, INLINE_VECTORS);
	struct msghdr m = {.msg_iov = iov,
	    .msg_iovlen = h->apart ? 1 : 2 + (size_t)n,
	    .msg_control = control.buf,
	    .msg_controllen = CMSG_SPACE(fds_len)};
	struct cmsghdr *cm = CMSG_FIRSTHDR(&m);

	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(fds_len);
	memcpy(CMSG_DATA(cm), fds, fds_len);
	return sendmsg(to, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Its successor shall find out whether it was taken; channel -1: it is ours. */
static void
note_given(const struct pfk_transport *tr, int channel, uint32_t number)
{
	struct pfk__record *r = pfk__record(tr->io.loop->ledger, tr->io.fd);

	if (r == NULL)
		return;
	r->stream.given = number;
	pfk__in_order();
	r->stream.given_to = channel + 1;
	pfk__in_order();
}

static ssize_t
send_transport(int to, struct pfk__packet_header *h, const void *state,
    const struct pfk_transport *tr)
{
	int fds[2] = {tr->io.fd, -1};
	ssize_t n;

	h->unsent_len = (uint32_t)tr->out.len;
	h->apart = h->state_len + tr->out.len + h->left_len > INLINE_MAX;
	if (h->apart) {
		fds[1] = set_apart(h, state, tr);
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

/*
 * Ask the protocol for its state.  -1: the connection is not to be sent now,
 * because the protocol said so or has just ended it.
 */
static ssize_t
ask(struct giver *g, struct pfk_transport *tr)
{
	ssize_t len;

	if (g->state == NULL &&
	    (g->state = malloc(PFK__PACKET_STATE)) == NULL) {
		tr->later = true;
		return -1;
	}
	if (tr->proto->hand_over == pfk_hand_over_block)
		len = pfk__block_save(tr, g->state);
	else
		len = tr->proto->hand_over(tr->self, g->state,
		    PFK__PACKET_STATE);
	pfk__tcp_uncork(tr);
	tr->later = len == PFK_LATER;
	tr->stays = len < PFK_LATER || len > PFK__PACKET_STATE;
	return can_give(tr) ? len : -1;
}

static struct pfk__packet_header
describe(const struct pfk_transport *tr)
{
	const struct pfk__input *in = tr->extra != NULL ? &tr->extra->in : NULL;

	return (struct pfk__packet_header){.local = tr->roster->server->local,
	    .peer = tr->peer,
	    .idle_ns = pfk__roster_idle_ns(tr),
	    .since_ns = pfk__tcp_since(tr),
	    .low = tr->low,
	    .high = tr->high,
	    .paused = tr->paused,
	    .told_pause = tr->told_pause,
	    .eof_received = tr->eof_received,
	    .eof_wanted = tr->eof_wanted,
	    .eof_sent = tr->eof_sent,
	    .mode = in != NULL ? in->mode : 0,
	    .last = in != NULL ? (uint8_t)in->last : 0,
	    .want = in != NULL ? (uint32_t)in->want : 0,
	    .left_len = in != NULL ? (uint32_t)in->left.len : 0};
}

/* False: no more for now. */
static bool
give(struct giver *g, struct pfk_transport *tr)
{
	const struct pfk__ledger *l = tr->io.loop->ledger;
	struct pfk__packet_header h;
	ssize_t len = ask(g, tr);

	if (len == -1)
		return true;
	h = describe(tr); /* now, because the callback may have changed it */
	h.state_len = (uint32_t)len;
	if (pfk__join_spill(tr) == -1 || pfk__owned_copy(tr) == -1) {
		pfk__tcp_lose(tr, ENOMEM);
		return true;
	}
	note_given(tr, g->io.fd, g->sent);
	pfk__point(l);
	if (send_transport(g->io.fd, &h, g->state, tr) == -1) {
		note_given(tr, -1, 0);
		/* Too many descriptors on their way: an answer makes room. */
		if (errno == ETOOMANYREFS && !TAILQ_EMPTY(&g->given))
			pfk__io_want(&g->io, PFK_READ);
		else if (errno == EPIPE || errno == ECONNRESET)
			g->all_sent = true;
		else if (errno != EAGAIN && errno != ENOBUFS)
			tr->stays = true;
		return tr->stays;
	}
	g->sent++;
	pfk__point(l);
	pfk__tcp_freeze(tr);
	TAILQ_REMOVE(&tr->roster->transports, tr, link);
	TAILQ_INSERT_TAIL(&g->given, tr, link);
	return true;
}

static void
settle(struct giver *g, enum pfk__answer answer)
{
	struct pfk__ledger *l = g->io.loop->ledger;
	struct pfk_transport *tr = TAILQ_FIRST(&g->given);

	if (tr == NULL)
		return;
	assert(tr->state == PFK__TCP_GIVEN && g->answered <= g->sent);
	TAILQ_REMOVE(&g->given, tr, link);
	TAILQ_INSERT_TAIL(&tr->roster->transports, tr, link);
	tr->stays = answer == PFK__ANSWER_REFUSED;
	if (answer == PFK__ANSWER_FULL)
		g->all_sent = true;
	if (answer == PFK__ANSWER_TAKEN) {
		pfk__ledger_note(l, tr->io.fd, PFK__ENTRY_DOOMED);
		pfk__point(l);
		pfk__tcp_lose(tr, PFK_HANDED_OVER);
	} else {
		note_given(tr, -1, 0);
		pfk__point(l);
		pfk__tcp_thaw(tr);
	}
}

/* The next giver of the loop after m, from NULL on. */
static struct giver *
next_giver(const struct pfk_loop *l, const struct pfk__member *m)
{
	m = m == NULL ? LIST_FIRST(&l->members) : LIST_NEXT(m, link);
	while (m != NULL && m->drain != drain_giver)
		m = LIST_NEXT(m, link);
	return (struct giver *)(uintptr_t)m;
}

/*
 * The last giver has ended: tell how many connections are still here.  The next
 * offer asks all of them.
 */
static void
tell_kept(struct pfk_loop *l)
{
	struct pfk_server *s = NULL;
	struct pfk_transport *tr;
	size_t n = 0, later = 0;

	while ((s = pfk__server_next(l, s)) != NULL) {
		TAILQ_FOREACH(tr, &s->roster.transports, link) {
			n += can_give(tr);
			later += tr->later && tr->state == PFK__TCP_OPEN;
			tr->later = false;
		}
	}
	if (n + later > 0 && l->kept != NULL)
		l->kept(l->taken_arg, n, later);
}

static void
end_giving(struct giver *g)
{
	struct pfk_loop *l = g->io.loop;

	/*
	 * No answer comes any more: the connections go on here, and packets
	 * that the taker has not received go with the channel.
	 */
	while (!TAILQ_EMPTY(&g->given))
		settle(g, PFK__ANSWER_FULL);
	assert(TAILQ_EMPTY(&g->given));
	pfk__io_stop(&g->io);
	pfk__close_emptied(g->io.fd);
	free(g->state);
	pfk__member_remove(l, &g->member);
	free(g);
	if (next_giver(l, NULL) == NULL)
		tell_kept(l);
}

/*
 * The number of packets that one giver of the loop sends at a time: few if there
 * are several, so that the takers share a few connections, too.
 */
static int
share(const struct pfk_loop *l)
{
	const struct giver *g = next_giver(l, NULL);

	return g != NULL && next_giver(l, &g->member) != NULL
	    ? SHARE
	    : PFK__PACKETS_A_TURN;
}

/* False: the channel has ended. */
static bool
receive_verdicts(struct giver *g)
{
	struct pfk__parcel parcel;
	union pfk__reply v;
	ssize_t n;

	for (;;) {
		/* It is taken out once it is obeyed. */
		n = recv(g->io.fd, &v, sizeof(v), MSG_DONTWAIT | MSG_PEEK);
		/* The answers of a taker that has died are behind the error. */
		if (n == -1 && (errno == ECONNRESET || errno == EINTR))
			continue;
		/* Without memory the answer comes later, and is not lost. */
		if (n != (ssize_t)sizeof(v))
			return n == -1 &&
			    (errno == EAGAIN || errno == ENOMEM ||
				errno == ENOBUFS);
		if (v.number == g->answered) {
			g->answered++;
			settle(g, (enum pfk__answer)v.answer);
			pfk__io_want(&g->io, PFK_READ | PFK_WRITE);
		}
		pfk__receive(g->io.fd, &v, sizeof(v), &parcel);
		pfk__parcel_close(&parcel);
	}
}

static void
on_giver_ready(void *arg, unsigned ready)
{
	struct giver *g = arg;
	struct pfk_transport *tr;

	(void)ready;
	if (!receive_verdicts(g)) {
		end_giving(g);
		return;
	}
	for (int i = share(g->io.loop); i > 0 && !g->all_sent; i--) {
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
	struct giver *g = (struct giver *)m;

	if (how != PFK_DRAIN_NOW)
		return;
	/* The taker goes on with whatever has been sent to it. */
	while (!TAILQ_EMPTY(&g->given))
		settle(g, PFK__ANSWER_TAKEN);
	end_giving(g);
}

static void
add_giver(struct pfk_loop *l, int fd)
{
	struct giver *g = calloc(1, sizeof(*g));

	if (g == NULL ||
	    pfk__io_start(l, &g->io, fd, 0, on_giver_ready, g) == -1) {
		pfk_log(PFK_WARNING,
		    "cannot watch a channel to hand connections over: %s; they "
		    "go to other workers, or stay here until they end",
		    strerror(errno));
		free(g);
		close(fd);
		return;
	}
	pfk__receive_none(fd);
	TAILQ_INIT(&g->given);
	pfk__member_add(l, &g->member, drain_giver);
}

void
pfk__handover_give(struct pfk_loop *l, int fd, bool last)
{
	struct giver *g = NULL;

	if (fd != -1)
		add_giver(l, fd);
	if (!last)
		return;
	while ((g = next_giver(l, g != NULL ? &g->member : NULL)) != NULL)
		pfk__io_want(&g->io, PFK_READ | PFK_WRITE);
	if (next_giver(l, NULL) == NULL)
		tell_kept(l);
}
