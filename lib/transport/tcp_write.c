/*
 * tcp_write.c: a TCP transport's output: send, queue, flush, shut.
 *
 * Layer: transport.
 */
#include <errno.h>
#include <sys/socket.h>

#include "transport/cork.h"
#include "transport/input.h"
#include "transport/join.h"
#include "transport/owned.h"
#include "transport/server.h"
#include "transport/tx.h"

#define FLUSH_VECTORS 16
#define LINGER_NS (2 * PFK_SECOND_NS)
#define FLAGS (MSG_NOSIGNAL | MSG_DONTWAIT)

void
pfk__tcp_tell_pause(void *arg)
{
	struct pfk_transport *tr = arg;

	if (tr->told_pause || tr->state != PFK__TCP_OPEN ||
	    !pfk__tcp_is_full(tr))
		return;
	pfk__tx_begin(tr, PFK__TX_WRITE_PAUSED);
	tr->told_pause = true;
	pfk__tcp_note(tr);
	if (tr->proto->pause_writing != NULL)
		tr->proto->pause_writing(tr->self);
	pfk__tx_end(tr->io.loop);
	if (tr->state == PFK__TCP_OPEN && pfk__input_blocked(tr))
		pfk__tcp_watch(tr);
}

void
pfk__tcp_tell_resume(struct pfk_transport *tr)
{
	if (!tr->told_pause || tr->state != PFK__TCP_OPEN ||
	    tr->out.len > tr->low)
		return;
	pfk__tx_begin(tr, PFK__TX_WRITE_RESUMED);
	tr->told_pause = false;
	pfk__tcp_note(tr);
	if (tr->proto->resume_writing != NULL)
		tr->proto->resume_writing(tr->self);
	pfk__tx_end(tr->io.loop);
	if (tr->state == PFK__TCP_OPEN && pfk__has_input(tr)) {
		pfk__tcp_watch(tr);
		pfk__input_go_on(tr);
	}
}

/* writing */

static void
on_linger(void *arg)
{
	pfk__tcp_lose(arg, 0);
}

/*
 * All is sent, FIN too.  Closing now would reset the connection if the peer
 * still sends, and the reset would overtake our last bytes; so wait for its
 * end.
 */
void
pfk__tcp_finish(struct pfk_transport *tr)
{
	if (tr->eof_received) {
		pfk__tcp_lose(tr, 0);
		return;
	}
	if (tr->linger != NULL)
		return;
	if (pfk_timer_set(&tr->linger, tr->io.loop, LINGER_NS, on_linger, tr) ==
	    -1)
		pfk__tcp_lose(tr, ENOMEM);
}

/* The queue is empty: send a pending FIN, finish a pending close. */
void
pfk__tcp_after_flush(struct pfk_transport *tr)
{
	if (pfk__unsent(tr) > 0 || tr->state == PFK__TCP_LOST)
		return;
	if (tr->eof_wanted && !tr->eof_sent) {
		if (shutdown(tr->io.fd, SHUT_WR) == -1) {
			pfk__tcp_lose(tr,
			    errno == ENOTCONN ? ECONNRESET : errno);
			return;
		}
		tr->eof_sent = true;
		pfk__tcp_note(tr);
	}
	if (tr->state == PFK__TCP_CLOSING)
		pfk__tcp_finish(tr);
}

bool
pfk__tcp_flush_out(struct pfk_transport *tr)
{
	struct iovec iov[FLUSH_VECTORS];
	struct msghdr h = {.msg_iov = iov};
	ssize_t n;

	h.msg_iovlen = (size_t)pfk__owned_vectors(tr, iov, FLUSH_VECTORS);
	pfk__point(tr->io.loop->ledger);
	n = h.msg_iovlen == 1
	    ? send(tr->io.fd, iov[0].iov_base, iov[0].iov_len, FLAGS)
	    : sendmsg(tr->io.fd, &h, FLAGS);
	pfk__point(tr->io.loop->ledger);
	if (n == -1) {
		if (errno != EAGAIN && errno != EINTR)
			pfk__tcp_lose(tr, errno);
		return false;
	}
	tr->sent += (uint64_t)n;
	pfk__tcp_count_sent(tr, (uint64_t)n);
	pfk__owned_consume(tr, (size_t)n);
	return true;
}

void
pfk__tcp_flush(struct pfk_transport *tr)
{
	if (!(tr->out.len > 0 ? pfk__tcp_flush_out(tr) : pfk__join_flush(tr)))
		return;
	pfk__roster_touch(tr);
	pfk__tcp_watch(tr);
	pfk__tcp_after_flush(tr);
	pfk__tcp_tell_resume(tr);
}

int
pfk__tcp_queue(struct pfk_transport *tr, const void *buf, size_t len)
{
	return pfk__outq_append(&tr->out, tr->io.loop->ledger, tr->io.fd,
	    tr->sent, buf, len);
}

int
pfk__tcp_send(struct pfk_transport *tr, const void *buf, size_t len)
{
	ssize_t n = 0;

	if (tr->out.len == 0) {
		pfk__point(tr->io.loop->ledger);
		n = send(tr->io.fd, buf, len, FLAGS);
		pfk__point(tr->io.loop->ledger);
		if (n == -1 && errno != EAGAIN && errno != EINTR) {
			pfk__tcp_lose(tr, errno);
			return -1;
		}
		n = n > 0 ? n : 0;
		tr->sent += (uint64_t)n;
		if (n > 0)
			pfk__tcp_count_sent(tr, (uint64_t)n);
		if ((size_t)n == len)
			return 0;
	}
	if (pfk__tcp_queue(tr, (const char *)buf + n, len - (size_t)n) == -1) {
		pfk__tcp_lose(tr, ENOMEM);
		return -1;
	}
	return 0;
}

void
pfk__tcp_flush_soon(void *arg)
{
	pfk__tcp_after_flush(arg);
}

void
pfk_write_eof(struct pfk_transport *tr)
{
	if (tr->state > PFK__TCP_GIVEN || tr->eof_wanted)
		return;
	pfk__tcp_uncork(tr);
	if (tr->state == PFK__TCP_LOST)
		return;
	tr->eof_wanted = true;
	pfk__tcp_note(tr);
	pfk__join_end_sink(tr);
	if (pfk__unsent(tr) > 0 || tr->state == PFK__TCP_GIVEN)
		return;
	pfk__soon_cancel(tr->io.loop, &tr->soon);
	pfk__soon_add(tr->io.loop, &tr->soon, pfk__tcp_flush_soon, tr);
}
