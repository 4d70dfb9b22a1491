/*
 * write.c: the calls by which a protocol writes.
 *
 * Layer: transport.  asyncio's transport.write and writelines.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/misuse.h"
#include "transport/cork.h"
#include "transport/join.h"
#include "transport/owned.h"
#include "transport/tx.h"

/* A larger write does not wait for the end of the callback. */
#define SMALL_BYTES 16384
/* The bytes of a callback that are not copied wait up to this sum. */
#define OWNED_BYTES 1048576
#define VECTORS 64

/* The queue has grown by a write: see to its sending. */
static void
after_queueing(struct pfk_transport *tr)
{
	if (tr->out.len == 0 || tr->state == PFK__TCP_LOST)
		return;
	/* Outside of callbacks a version has the queued bytes, too. */
	if (tr->survives)
		pfk__tcp_note(tr);
	pfk__tcp_watch(tr);
	if (pfk__tcp_is_full(tr) && !tr->told_pause)
		pfk__soon_add(tr->io.loop, &tr->soon, pfk__tcp_tell_pause, tr);
}

void
pfk__uncork(struct pfk_loop *l)
{
	struct pfk_transport *tr = l->corked;
	size_t len = l->cork_len;

	if (tr == NULL)
		return;
	pfk__cork_forget(tr);
	if (len > 0)
		pfk__tcp_send(tr, l->cork_bytes, len);
	else
		while (tr->out.len > 0 && pfk__tcp_flush_out(tr))
			continue;
	after_queueing(tr);
}

/* Whether len bytes, or those of a buffer, wait for the callback's end. */
static bool
cork(struct pfk_transport *tr, size_t len)
{
	struct pfk_loop *l = tr->io.loop;

	if (tr->corked)
		return len <= SMALL_BYTES && tr->out.len < OWNED_BYTES &&
		    l->cork_len + len <= PFK__CORK_BYTES;
	if (!l->running || tr->survives || tr->out.len > 0 || len > SMALL_BYTES)
		return false;
	pfk__uncork(l);
	if (l->cork_bytes == NULL)
		l->cork_bytes = malloc(PFK__CORK_BYTES);
	if (l->cork_bytes == NULL)
		return false;
	l->uncork = pfk__uncork;
	l->corked = tr;
	tr->corked = true;
	return true;
}

/* Whether it can be written to; -1 with EPIPE, or it is lost. */
static int
begin(struct pfk_transport *tr)
{
	if (tr->state != PFK__TCP_OPEN || tr->eof_wanted) {
		errno = EPIPE;
		return -1;
	}
	if (tr->joint != NULL && pfk__join_spill(tr) == -1) {
		pfk__tcp_lose(tr, ENOMEM);
		return -1;
	}
	return 0;
}

static int
queue(struct pfk_transport *tr, const struct iovec *iov, int n, size_t skip)
{
	for (int i = 0; i < n; i++) {
		size_t from = skip < iov[i].iov_len ? skip : iov[i].iov_len;

		skip -= from;
		if (pfk__tcp_queue(tr, (char *)iov[i].iov_base + from,
			iov[i].iov_len - from) == 0)
			continue;
		pfk__tcp_lose(tr, ENOMEM);
		return -1;
	}
	return 0;
}

/* Behind bytes that are not copied they are queued, else gathered. */
static int
put(struct pfk_transport *tr, const struct iovec *iov, int n)
{
	struct pfk_loop *l = tr->io.loop;

	if (tr->out.len > 0)
		return queue(tr, iov, n, 0);
	for (int i = 0; i < n; i++) {
		if (iov[i].iov_len == 0)
			continue; /* its base may be NULL */
		memcpy(l->cork_bytes + l->cork_len, iov[i].iov_base,
		    iov[i].iov_len);
		l->cork_len += iov[i].iov_len;
	}
	return 0;
}

/* Send them, and queue the rest.  -1: it is lost. */
static int
send_vectors(struct pfk_transport *tr, struct iovec *iov, int n)
{
	struct msghdr h = {.msg_iov = iov, .msg_iovlen = (size_t)n};
	ssize_t sent;

	pfk__point(tr->io.loop->ledger);
	sent = sendmsg(tr->io.fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
	pfk__point(tr->io.loop->ledger);
	if (sent == -1 && errno != EAGAIN && errno != EINTR) {
		pfk__tcp_lose(tr, errno);
		return -1;
	}
	if (sent > 0) {
		tr->sent += (uint64_t)sent;
		pfk__tcp_count_sent(tr, (uint64_t)sent);
	}
	return queue(tr, iov, n, sent > 0 ? (size_t)sent : 0);
}

/* The corked bytes go with them.  -1: it is lost. */
static int
send_now(struct pfk_transport *tr, const struct iovec *iov, int n)
{
	struct pfk_loop *l = tr->io.loop;
	struct iovec all[1 + VECTORS];

	/* Behind bytes that are not copied they have their own call. */
	if (tr->out.len > 0)
		pfk__tcp_uncork(tr);
	while (n > 0 && tr->out.len == 0 && tr->state != PFK__TCP_LOST) {
		int k = n < VECTORS ? n : VECTORS;
		int first = tr->corked && l->cork_len > 0;

		all[0] = (struct iovec){l->cork_bytes, l->cork_len};
		memcpy(all + first, iov, (size_t)k * sizeof(*iov));
		pfk__cork_forget(tr);
		if (send_vectors(tr, all, first + k) == -1)
			return -1;
		iov += k;
		n -= k;
	}
	return tr->state == PFK__TCP_LOST ? -1 : queue(tr, iov, n, 0);
}

static int
write_vectors(struct pfk_transport *tr, const struct iovec *iov, int n,
    size_t len)
{
	if (begin(tr) == -1)
		return -1;
	if (len == 0)
		return 0;
	if (pfk__tx_holds(tr)) {
		if (queue(tr, iov, n, 0) == -1)
			return -1;
		pfk__tx_touch(tr);
		return 0;
	}
	if (cork(tr, len))
		return put(tr, iov, n);
	if (send_now(tr, iov, n) == -1)
		return -1;
	after_queueing(tr);
	return 0;
}

int
pfk_write(struct pfk_transport *tr, const void *buf, size_t len)
{
	struct iovec v = {(void *)(uintptr_t)buf, len};

	if (pfk__need_length("pfk_write", len) == -1)
		return -1;
	return write_vectors(tr, &v, 1, len);
}

int
pfk_writev(struct pfk_transport *tr, const struct iovec *iov, int n)
{
	size_t len = 0;

	if (n < 0)
		return pfk__misuse(EINVAL, "pfk_writev: n is negative");
	for (int i = 0; i < n; i++) {
		/* A sum that overflows is no small one. */
		if (iov[i].iov_len > SSIZE_MAX - len)
			return pfk__misuse(EINVAL,
			    "pfk_writev: the vectors have more bytes than there "
			    "can be");
		len += iov[i].iov_len;
	}
	return write_vectors(tr, iov, n, len);
}

/* A transaction's queue has a copy, so that the buffer is free at once. */
static int
write_copy(struct pfk_transport *tr, const struct iovec *v,
    void (*release)(void *arg), void *arg)
{
	struct pfk__owned *o = pfk__owned_new(release, arg);

	if (o == NULL)
		return -1;
	if (write_vectors(tr, v, 1, v->iov_len) == -1) {
		pfk__owned_drop(o);
		return -1;
	}
	pfk__owned_release(tr->io.loop, o);
	return 0;
}

int
pfk_write_owned(struct pfk_transport *tr, const void *buf, size_t len,
    void (*release)(void *arg), void *arg)
{
	struct pfk_loop *l = tr->io.loop;
	struct iovec v = {(void *)(uintptr_t)buf, len};
	bool full;

	if (pfk__need_length("pfk_write_owned", len) == -1)
		return -1;
	if (len == 0 || tr->survives)
		return write_copy(tr, &v, release, arg);
	if (begin(tr) == -1)
		return -1;
	/* It leaves with the small writes before and behind it. */
	full = !cork(tr, 0) && tr->out.len > 0;
	if (tr->corked && l->cork_len > 0) {
		struct iovec small = {l->cork_bytes, l->cork_len};

		l->cork_len = 0;
		if (queue(tr, &small, 1, 0) == -1)
			return -1;
	}
	if (pfk__owned_append(tr, buf, len, release, arg) == -1)
		return -1;
	if (!full && !tr->corked)
		pfk__tcp_flush_out(tr);
	after_queueing(tr);
	return 0;
}

void
pfk_flush(struct pfk_transport *tr)
{
	pfk__tcp_uncork(tr);
}
