/*
 * udp_send.c: datagrams out, those of a batch in trains.
 *
 * Layer: transport.  Answers with the bytes that came are queued as they are
 * and leave by one sendmmsg(2) when the batch has been delivered, those to one
 * peer in one segmented message, which costs little more than a single
 * datagram.  udp(7) on UDP_SEGMENT, ip(7) and ipv6(7) on IP_PKTINFO.
 */
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

#include "base/fds.h"
#include "base/misuse.h"
#include "transport/udp.h"

/* The kernel's UDP_MAX_SEGMENTS, of which newer ones have more. */
#define TRAIN_MAX 64
/* The largest payload of one IPv4 packet. */
#define TRAIN_BYTES 65507

#define NONE (-1)

static bool
is_full(int error)
{
	return error == EAGAIN || error == ENOBUFS;
}

static void
count_failed(struct pfk_datagram *d, const struct msghdr *h, int error,
    unsigned n)
{
	if (is_full(error)) {
		pfk__udp_drops_unsent(d, n);
		return;
	}
	pfk__udp_drops_failed(d, h, error, n);
	pfk__udp_report(d, error);
}

/* headers */

static void
add_control(struct msghdr *h, int level, int type, const void *data, size_t len)
{
	struct cmsghdr *cm = (struct cmsghdr *)(void *)((char *)h->msg_control +
	    h->msg_controllen);

	memset(cm, 0, CMSG_SPACE(len));
	cm->cmsg_level = level;
	cm->cmsg_type = type;
	cm->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(cm), data, len);
	h->msg_controllen += CMSG_SPACE(len);
}

static void
add_source(struct msghdr *h, const struct pfk_addr *from)
{
	if (from->sa.sa_family == AF_INET6) {
		struct in6_pktinfo info = {.ipi6_addr = from->in6.sin6_addr,
		    .ipi6_ifindex = from->in6.sin6_scope_id};

		add_control(h, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	} else {
		struct in_pktinfo info = {.ipi_spec_dst = from->in4.sin_addr};

		add_control(h, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	}
}

/* The header of n datagrams of t: all of it, or one. */
static void
address(struct msghdr *h, struct pfk__batch *b, struct pfk__train *t,
    union pfk__control *c, unsigned n)
{
	*h = (struct msghdr){.msg_name = t->to.len > 0 ? &t->to.sa : NULL,
	    .msg_namelen = t->to.len,
	    .msg_control = c};
	if (t->sender > 0) {
		h->msg_name = &b->senders[t->sender - 1].local.un;
		h->msg_namelen = b->senders[t->sender - 1].local.len;
	}
	if (t->from.len > 0)
		add_source(h, &t->from);
	if (n > 1) {
		uint16_t segment = (uint16_t)t->segment;

		add_control(h, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment));
	}
	if (h->msg_controllen == 0)
		h->msg_control = NULL;
}

/* sending */

static void
count_sent(const struct pfk_datagram *d, unsigned n, size_t bytes)
{
	struct pfk_loop *l = d->io.loop;

	l->stats->counts[PFK__COUNT_DATAGRAMS_OUT] += n;
	l->stats->counts[PFK__COUNT_DATAGRAM_BYTES_OUT] += bytes;
}

void
pfk__udp_send_one(struct pfk_datagram *d, const struct msghdr *h)
{
	ssize_t n;

	while ((n = sendmsg(d->io.fd, h, MSG_NOSIGNAL | MSG_DONTWAIT)) == -1) {
		if (errno == EINTR)
			continue;
		count_failed(d, h, errno, 1);
		return;
	}
	count_sent(d, 1, (size_t)n);
}

/* Each of the train's datagrams by itself. */
static void
send_singly(struct pfk_datagram *d, struct pfk__train *t,
    const struct msghdr *train)
{
	struct pfk__batch *b = d->io.loop->batch;
	union pfk__control control;
	struct msghdr h;

	uint32_t n = 0;

	address(&h, b, t, &control, 1);
	for (size_t i = 0; i < train->msg_iovlen; i++) {
		struct iovec left = train->msg_iov[i];

		while (left.iov_len > 0) {
			struct iovec one = left;

			if (one.iov_len > t->segment)
				one.iov_len = t->segment;
			h.msg_iov = &one;
			h.msg_iovlen = 1;
			/* A predecessor may have sent the first ones. */
			if (n++ >= b->singly) {
				pfk__udp_send_one(d, &h);
				b->singly = n;
			}
			left.iov_base = (char *)left.iov_base + one.iov_len;
			left.iov_len -= one.iov_len;
		}
	}
}

/*
 * The way to the peer may not take trains: its MTU is smaller than a segment
 * (EINVAL or EMSGSIZE), or the device computes no checksums (EIO).  Other
 * errors may be of an earlier datagram; then nothing of this train has been
 * sent.
 */
static void
train_failed(struct pfk_datagram *d, struct pfk__train *t,
    const struct msghdr *h, int error)
{
	if (t->n == 1 || is_full(error)) {
		count_failed(d, h, error, t->n);
		return;
	}
	if (error != EINVAL && error != EMSGSIZE && error != EIO)
		pfk__udp_report(d, error);
	send_singly(d, t, h);
}

static void
assemble(struct pfk__batch *b)
{
	struct iovec *iov = b->out_iov;

	for (unsigned i = 0; i < b->n_trains; i++) {
		struct pfk__train *t = &b->trains[i];
		struct msghdr *h = &b->out[i].msg_hdr;

		address(h, b, t, &b->out_control[i], t->n);
		h->msg_iov = iov;
		for (int p = t->first; p != NONE; p = b->pieces[p].next)
			*iov++ = b->pieces[p].iov;
		h->msg_iovlen = (size_t)(iov - h->msg_iov);
	}
}

void
pfk__udp_send_clear(struct pfk__batch *b)
{
	for (unsigned i = 0; i < PFK__BATCH; i++)
		b->youngest[i] = NONE;
	b->n_trains = b->n_pieces = 0;
}

/* Some of the trains from `at` on: how many have been sent, or -1. */
static int
send_trains(int fd, struct pfk__batch *b, unsigned at)
{
	int n = sendmmsg(fd, b->out + at, b->n_trains - at,
	    MSG_NOSIGNAL | MSG_DONTWAIT);

	/*
	 * Either a sandbox denies the call, or a packet filter refuses the
	 * first train (EPERM): sendmsg(2) can tell.
	 */
	if (n == -1 && pfk__is_denied(errno) &&
	    sendmsg(fd, &b->out[at].msg_hdr, MSG_NOSIGNAL | MSG_DONTWAIT) !=
		-1) {
		b->out[at].msg_len = 0;
		return 1;
	}
	return n;
}

/* Send those that nobody has sent; the order of the stores is the point. */
static void
send_all(struct pfk_datagram *d, struct pfk__batch *b)
{
	unsigned at = 0;

	while (at < b->n_trains) {
		int n;

		if (b->out[at].msg_len != PFK__UNTOLD) {
			at++;
			continue;
		}
		n = send_trains(d->io.fd, b, at);
		if (n > 0) {
			for (; n > 0; n--, at++)
				count_sent(d, b->trains[at].n,
				    b->trains[at].bytes);
		} else if (errno != EINTR) {
			train_failed(d, &b->trains[at], &b->out[at].msg_hdr,
			    errno);
			b->out[at].msg_len = 0;
			pfk__in_order();
			b->singly = 0;
		}
	}
	b->from = b->then;
	pfk__in_order();
	b->sending = 0;
	pfk__udp_send_clear(b);
}

void
pfk__udp_send_flush(struct pfk_datagram *d)
{
	struct pfk__batch *b = d->io.loop->batch;

	if (b->reader != d || b->n_trains == 0)
		return;
	assemble(b);
	for (unsigned i = 0; i < b->n_trains; i++)
		b->out[i].msg_len = PFK__UNTOLD;
	b->singly = 0;
	b->then = b->at;
	pfk__in_order();
	b->sending = 1;
	pfk__in_order();
	send_all(d, b);
}

void
pfk__udp_send_rest(struct pfk_datagram *d)
{
	struct pfk__batch *b = d->io.loop->batch;

	if (b->sending == 0)
		return;
	if (!pfk__udp_sound(b, d->io.loop->scratch))
		b->n_trains = 0;
	assemble(b);
	send_all(d, b);
}

/* queueing */

static void
copy_addr(struct pfk_addr *copy, const struct pfk_addr *a)
{
	if (a != NULL)
		*copy = *a;
	else
		copy->len = 0;
}

static bool
same_addr(const struct pfk_addr *copy, const struct pfk_addr *a)
{
	socklen_t len = a != NULL ? a->len : 0;

	return copy->len == len &&
	    (len == 0 || memcmp(&copy->sa, &a->sa, len) == 0);
}

static unsigned
hash(const struct pfk_addr *to)
{
	uint32_t h = 0;

	if (to == NULL || to->len == 0)
		return 0;
	if (to->sa.sa_family == AF_INET)
		h = to->in4.sin_addr.s_addr;
	else if (to->sa.sa_family == AF_INET6)
		h = to->in6.sin6_addr.s6_addr32[3];
	h = (h ^ (uint32_t)pfk_addr_port(to) << 16) * 0x9e3779b1u;
	return h >> 16 & (PFK__BATCH - 1);
}

static struct pfk__train *
youngest_to(struct pfk__batch *b, unsigned slot, const struct pfk_addr *to)
{
	for (int i = b->youngest[slot]; i != NONE; i = b->trains[i].older) {
		if (same_addr(&b->trains[i].to, to))
			return &b->trains[i];
	}
	return NULL;
}

/* Whether the train can take one more datagram. */
static bool
has_room(const struct pfk__train *t, size_t len, const struct pfk_addr *from)
{
	return len > 0 && len <= t->segment && !t->ended && t->n < TRAIN_MAX &&
	    t->bytes + len <= TRAIN_BYTES && same_addr(&t->from, from);
}

static struct pfk__train *
begin_train(struct pfk__batch *b, unsigned slot, size_t len,
    const struct pfk_addr *to, const struct pfk_addr *from)
{
	struct pfk__train *t = &b->trains[b->n_trains];

	copy_addr(&t->to, to);
	copy_addr(&t->from, from);
	t->segment = len;
	t->bytes = t->n = 0;
	t->ended = false;
	t->first = t->last = NONE;
	t->sender = 0;
	t->older = b->youngest[slot];
	b->youngest[slot] = (int)b->n_trains++;
	return t;
}

static bool
follows(const struct pfk__batch *b, int piece, const void *buf)
{
	const struct iovec *iov = &b->pieces[piece].iov;

	return (char *)iov->iov_base + iov->iov_len == buf;
}

static void
append(struct pfk__batch *b, struct pfk__train *t, struct iovec iov)
{
	int i = (int)b->n_pieces;

	t->n++;
	t->bytes += iov.iov_len;
	t->ended = iov.iov_len < t->segment;
	if (t->last != NONE && follows(b, t->last, iov.iov_base)) {
		b->pieces[t->last].iov.iov_len += iov.iov_len;
		return;
	}
	b->pieces[i].iov = iov;
	b->pieces[i].next = NONE;
	if (t->last != NONE)
		b->pieces[t->last].next = i;
	else
		t->first = i;
	t->last = i;
	b->n_pieces++;
}

/* A train takes at least one piece, so that there is room for both. */
static void
queue(struct pfk_datagram *d, struct iovec iov, const struct pfk_addr *to,
    const struct pfk_addr *from, unsigned sender)
{
	struct pfk__batch *b = d->io.loop->batch;
	unsigned slot = hash(to);
	struct pfk__train *t = NULL;

	if (d->segments)
		t = youngest_to(b, slot, to);
	if (t != NULL && !has_room(t, iov.iov_len, from))
		t = NULL;
	if (b->n_pieces == PFK__BATCH &&
	    (t == NULL || !follows(b, t->last, iov.iov_base))) {
		pfk__udp_send_flush(d);
		t = NULL;
	}
	if (t == NULL) {
		t = begin_train(b, slot, iov.iov_len, to, from);
		t->sender = sender;
	}
	append(b, t, iov);
}

/*
 * A delivered datagram that lies in the batch in full stays there until the
 * flush.
 */
static bool
in_batch(const struct pfk_datagram *d, const void *buf, size_t len)
{
	uintptr_t at = (uintptr_t)buf - (uintptr_t)d->io.loop->scratch;

	return d->io.loop->batch->reader == d && at < PFK__SCRATCH_BYTES &&
	    len <= PFK__SCRATCH_BYTES - at;
}

/* A copy behind the message that is being delivered; NULL: it has no room. */
static void *
copy_in(struct pfk_datagram *d, const void *buf, size_t len)
{
	struct pfk__batch *b = d->io.loop->batch;
	unsigned i = b->at.message;
	char *at;

	if (b->reader != d || i >= PFK__BATCH || len > PFK__PACKET_BYTES ||
	    b->in[i].msg_len + b->copied + len > PFK__PACKET_BYTES)
		return NULL;
	at = (char *)b->in_iov[i].iov_base + b->in[i].msg_len + b->copied;
	memcpy(at, buf, len);
	b->copied += (uint32_t)len;
	return at;
}

void
pfk_sendto(struct pfk_datagram *d, const void *buf, size_t len,
    const struct pfk_addr *to, const struct pfk_addr *from)
{
	struct iovec iov = {(void *)(uintptr_t)buf, len};
	union pfk__control control;
	struct pfk__train alone = {0};
	struct msghdr h;
	int sender = -1;

	if (d->closed)
		return;
	if (pfk__need_length("pfk_sendto", len) == -1) {
		pfk__udp_report(d, EINVAL);
		return;
	}
	if (d->is_unix && to != NULL && to->len > 0 &&
	    (sender = pfk__udp_unix_find(d, to)) == -1) {
		h = (struct msghdr){0};
		pfk__udp_drops_failed(d, &h, errno, 1);
		pfk__udp_report(d, errno);
		return;
	}
	if (!d->pktinfo)
		from = NULL;
	/* Other memory is valid during this call only. */
	if (!in_batch(d, buf, len))
		iov.iov_base = len > 0 ? copy_in(d, buf, len) : NULL;
	if (iov.iov_base != NULL) {
		queue(d, iov, to, from, (unsigned)(sender + 1));
		return;
	}
	iov.iov_base = (void *)(uintptr_t)buf;
	/* Earlier datagrams first. */
	pfk__udp_send_flush(d);
	copy_addr(&alone.to, to);
	copy_addr(&alone.from, from);
	alone.sender = (unsigned)(sender + 1);
	address(&h, d->io.loop->batch, &alone, &control, 1);
	h.msg_iov = &iov;
	h.msg_iovlen = 1;
	pfk__udp_send_one(d, &h);
}
