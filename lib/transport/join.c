/*
 * join.c: forward the bytes that one transport receives to another, or back
 * (echo).
 *
 * Layer: transport.  splice(2).  A short transfer is read into the scratch area
 * and sent from there, as a protocol would do it; when reads keep being large,
 * the bytes go through a pipe, which is held only while there are any in it.
 */
#include "transport/join.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fds.h"
#include "base/misuse.h"
#include "transport/cork.h"
#include "transport/input.h"
#include "transport/server.h"

/* Bytes for each read of a bulk transport, by a copy or by splice(2). */
#define BULK_BYTES 262144u
static_assert(BULK_BYTES <= PFK__SCRATCH_BYTES, "no room");

/*
 * `bulk` of a source rises by each large read and falls by each small one; from BULKY
 * on the source is a bulk transport.
 */
#define LARGE_BYTES 49152
#define SMALL_BYTES 16384
#define BULKY 4
#define BULK_MAX 8

static struct pfk__joint *
need_joint(struct pfk_transport *tr)
{
	if (tr->joint == NULL)
		tr->joint = calloc(1, sizeof(*tr->joint));
	return tr->joint;
}

static void
forget_joint(struct pfk_transport *tr)
{
	if (tr->joint == NULL || pfk__join_paired(tr) || tr->joint->in_pipe > 0)
		return;
	free(tr->joint);
	tr->joint = NULL;
}

static void
weigh(struct pfk_transport *tr, ssize_t n)
{
	if (n >= LARGE_BYTES && tr->bulk < BULK_MAX)
		tr->bulk++;
	else if (n < SMALL_BYTES && tr->bulk > 0)
		tr->bulk = tr->bulk > BULKY ? tr->bulk - 1 : 0;
	if (tr->bulk == 0)
		forget_joint(tr);
}

/* the pipe */

/*
 * splice(2) is not to be had here: a sandbox denies it, the socket does not
 * offer it, or memory is short.  The connection itself has no such error.
 */
static bool
is_refused(int error)
{
	return pfk__is_denied(error) || error == EACCES || error == EINVAL ||
	    error == EOPNOTSUPP || error == ENOMEM;
}

/* The record names the pipe before there is anything in it. */
static void
note_pipe(const struct pfk_transport *tr, struct pfk__pipe pipe)
{
	struct pfk__record *r = pfk__record(tr->io.loop->ledger, tr->io.fd);

	if (r == NULL)
		return;
	r->stream.pipe_in = pipe.in;
	r->stream.pipe_out = pipe.out;
	pfk__in_order();
}

static void
empty_pipe(struct pfk_transport *tr)
{
	assert(tr->joint != NULL && tr->joint->in_pipe == 0);
	note_pipe(tr, (struct pfk__pipe){0});
	pfk__pipes_give(&tr->io.loop->pipes, tr->joint->pipe);
}

/* Copy from now on, beginning with the bytes in the pipe. */
static bool
flush_refused(struct pfk_transport *tr)
{
	if (pfk__join_spill(tr) == -1) {
		pfk__tcp_lose(tr, ENOMEM);
		return false;
	}
	pfk__pipes_refuse(&tr->io.loop->pipes);
	return true;
}

bool
pfk__join_flush(struct pfk_transport *tr)
{
	struct pfk__joint *j = tr->joint;
	ssize_t n;

	pfk__tcp_unblock(tr);
	n = splice(j->pipe.out, NULL, tr->io.fd, NULL, j->in_pipe,
	    SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (n == -1 && is_refused(errno))
		return flush_refused(tr);
	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			pfk__tcp_lose(tr, n == 0 ? EIO : errno);
		return false;
	}
	tr->sent += (uint64_t)n;
	pfk__tcp_count_sent(tr, (uint64_t)n);
	assert((size_t)n <= j->in_pipe);
	j->in_pipe -= (size_t)n;
	if (j->in_pipe == 0)
		empty_pipe(tr);
	return true;
}

/* Note that the pipe's bytes are moving to the queue: see rebuild.c. */
static void
begin_spill(const struct pfk_transport *tr)
{
	struct pfk__hand *h = &tr->io.loop->ledger->head->hand;

	h->len = PFK__HAND_SPILL;
	h->sent = tr->sent;
	h->received = pfk__unsent(tr);
	pfk__in_order();
	h->fd = tr->io.fd;
	pfk__in_order();
}

/* The bytes of a callback in progress stay in hand meanwhile. */
int
pfk__join_spill(struct pfk_transport *tr)
{
	struct pfk__ledger *g = tr->io.loop->ledger;
	struct pfk__hand saved = g->head->hand;
	int rc = 0;

	if (tr->joint == NULL || tr->joint->in_pipe == 0)
		return 0;
	begin_spill(tr);
	while (rc == 0 && tr->joint != NULL && tr->joint->in_pipe > 0) {
		ssize_t n = pfk__outq_read(&tr->out, g, tr->io.fd, tr->sent,
		    tr->joint->pipe.out);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0) {
			rc = -1;
			break;
		}
		tr->joint->in_pipe -= (size_t)n;
		if (tr->joint->in_pipe == 0)
			empty_pipe(tr);
	}
	pfk__hand_empty(tr->io.loop);
	g->head->hand.len = saved.len;
	g->head->hand.sent = saved.sent;
	g->head->hand.received = saved.received;
	pfk__in_order();
	g->head->hand.fd = saved.fd;
	return rc;
}

int
pfk__join_rebuild(struct pfk_transport *tr, struct pfk__pipe pipe, size_t n)
{
	struct pfk__pipes *pool = &tr->io.loop->pipes;

	if (need_joint(tr) == NULL || pfk__pipes_adopt(pool) == -1)
		return -1;
	tr->joint->pipe = pipe;
	tr->joint->in_pipe = n;
	if (n == 0) {
		empty_pipe(tr);
		forget_joint(tr);
	}
	return 0;
}

/* reading */

static ssize_t
copy(struct pfk_transport *from, struct pfk_transport *to)
{
	struct pfk_loop *l = from->io.loop;
	size_t room = pfk__tcp_may_read(l);
	void *buf = l->scratch;
	ssize_t n;

	if (from->bulk >= BULKY && room == PFK__READ_BYTES)
		room = BULK_BYTES;
	pfk__hand_take(from, to);
	pfk__point(l->ledger);
	n = recv(from->io.fd, buf, room, MSG_DONTWAIT);
	if (pfk__tcp_received(from, n)) {
		uint64_t begun = pfk__tcp_response_begins(l);
		uint64_t sent = l->stats->counts[PFK__COUNT_MESSAGES_OUT];

		pfk__tcp_send(to, buf, (size_t)n);
		pfk__tcp_response_ends(l, begun, sent);
	}
	pfk__hand_empty(l);
	return n;
}

/*
 * False: only recv(2) can read on.  There is no pipe, splice(2) is refused, or
 * the next byte is urgent: splice(2) does not pass it, so that EAGAIN does not
 * mean "nothing" and 0 does not mean "the end".
 */
static __attribute__((noinline)) bool
splice_through(struct pfk_transport *from, struct pfk_transport *to, ssize_t *n)
{
	struct pfk__pipes *pool = &from->io.loop->pipes;
	struct pfk__pipe pipe;

	if (need_joint(to) == NULL || pfk__pipes_take(pool, &pipe) == -1)
		return false;
	note_pipe(to, pipe);
	pfk__tcp_unblock(from);
	*n = splice(from->io.fd, NULL, pipe.in, NULL, BULK_BYTES,
	    SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	to->joint->pipe = pipe;
	if (*n > 0) {
		to->joint->in_pipe = (size_t)*n;
	} else {
		int error = *n == 0 ? EAGAIN : errno;

		empty_pipe(to);
		if (is_refused(error))
			pfk__pipes_refuse(pool);
		if (error == EAGAIN || is_refused(error))
			return false;
		errno = error;
	}
	if (pfk__tcp_received(from, *n))
		pfk__join_flush(to);
	return true;
}

bool
pfk__join_receive(struct pfk_transport *from)
{
	struct pfk_transport *to = pfk__join_sink(from);
	ssize_t n;

	assert(to != NULL);
	if (pfk__unsent(to) > 0)
		return false;
	if (from->bulk < BULKY || !splice_through(from, to, &n))
		n = copy(from, to);
	if (n <= 0 || from->state == PFK__TCP_LOST)
		return false;
	if (n >= LARGE_BYTES || from->bulk > 0)
		weigh(from, n);
	if (to->state == PFK__TCP_LOST)
		return true;
	if (pfk__unsent(to) > 0)
		pfk__tcp_watch(to);
	if (to != from)
		pfk__roster_touch(to);
	return true;
}

/* joining */

int
pfk_join(struct pfk_transport *from, struct pfk_transport *to)
{
	if (from->io.loop != to->io.loop)
		return pfk__misuse(EINVAL,
		    "pfk_join: the transports are on different loops");
	pfk__tcp_uncork(to);
	errno = EPIPE;
	if (from->state != PFK__TCP_OPEN || to->state != PFK__TCP_OPEN ||
	    to->eof_wanted)
		return -1;
	if (pfk__join_sink(from) != NULL)
		return pfk__misuse(EBUSY,
		    "pfk_join: `from` has a sink already");
	if (to->echoes || (to->joint != NULL && to->joint->source != NULL))
		return pfk__misuse(EBUSY,
		    "pfk_join: `to` has a source already");
	if (from == to) {
		from->echoes = true;
		pfk__tcp_note(from);
	} else {
		if (need_joint(from) == NULL || need_joint(to) == NULL) {
			forget_joint(from);
			errno = ENOMEM;
			return -1;
		}
		from->joint->sink = to;
		to->joint->source = from;
		pfk__tcp_enter(from);
		pfk__tcp_enter(to);
	}
	pfk__tcp_watch(from);
	pfk__input_pass_on(from);
	return 0;
}

void
pfk_unjoin(struct pfk_transport *from)
{
	struct pfk_transport *to = pfk__join_sink(from);

	if (to == NULL)
		return;
	if (from->echoes) {
		from->echoes = false;
		pfk__tcp_note(from);
	}
	from->bulk = 0;
	if (to != from) {
		assert(to->joint->source == from);
		from->joint->sink = NULL;
		to->joint->source = NULL;
		pfk__tcp_enter(from);
		pfk__tcp_enter(to);
		forget_joint(to);
	}
	forget_joint(from);
	if (from->state == PFK__TCP_OPEN)
		pfk__tcp_watch(from);
}

void
pfk__join_end_sink(struct pfk_transport *tr)
{
	if (tr->echoes)
		pfk_unjoin(tr);
	else if (tr->joint != NULL && tr->joint->source != NULL)
		pfk_unjoin(tr->joint->source);
}

void
pfk__join_lost(struct pfk_transport *tr)
{
	pfk__join_end_sink(tr);
	pfk_unjoin(tr);
	if (tr->joint == NULL)
		return;
	note_pipe(tr, (struct pfk__pipe){0});
	if (tr->joint->in_pipe > 0)
		pfk__pipes_drop(&tr->io.loop->pipes, tr->joint->pipe);
	free(tr->joint);
	tr->joint = NULL;
}
