/*
 * udp.c: a datagram endpoint that reads and answers in batches.
 *
 * Layer: transport.  recvmmsg(2) fills the loop's scratch area; answers with
 * the bytes that came are queued as they are and leave by one sendmmsg(2) when
 * the batch has been delivered.  ip(7) and ipv6(7) on IP_PKTINFO.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event/loop.h"

#define BATCH 64
#define PACKET_BYTES 65536u
#define DRAIN_BATCHES 64

static_assert(BATCH * PACKET_BYTES <= PFK__SCRATCH_BYTES, "no room");

union control {
	char in4[CMSG_SPACE(sizeof(struct in_pktinfo))];
	char in6[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	struct cmsghdr align;
};

/* One direction of a batch. */
struct batch {
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	struct pfk_addr addr[BATCH];
	union control control[BATCH];
};

struct pfk_datagram {
	struct pfk__member member; /* first: the loop hands it back */
	struct pfk_io io;
	const struct pfk_datagram_protocol *proto;
	void *arg;
	void *self;
	int owner; /* the slot that it was adopted from, or -1 */
	struct pfk_addr local;
	bool pktinfo;    /* bound to a wildcard: the address comes along */
	bool delivering; /* in a batch: answers are queued */
	bool closed;
	bool handle; /* the user still has one */
	struct pfk__soon lost;
	struct pfk__soon reported;
	int error; /* to report */
	uint64_t dropped;
	unsigned queued;
	struct batch in, out;
};

static void
on_error(void *arg)
{
	struct pfk_datagram *d = arg;

	if (d->proto->error_received != NULL)
		d->proto->error_received(d->self, d->error);
}

/* Soon, for the user may be sending; of several only the last. */
static void
report(struct pfk_datagram *d, int error)
{
	d->error = error;
	pfk__soon_add(d->io.loop, &d->reported, on_error, d);
}

/* sending */

static void
set_source(struct msghdr *h, union control *c, const struct pfk_addr *from)
{
	bool v6 = from->sa.sa_family == AF_INET6;
	struct cmsghdr *cm;

	memset(c, 0, sizeof(*c));
	h->msg_control = c;
	h->msg_controllen = v6 ? sizeof(c->in6) : sizeof(c->in4);
	cm = CMSG_FIRSTHDR(h);
	if (v6) {
		struct in6_pktinfo info = {.ipi6_addr = from->in6.sin6_addr,
		    .ipi6_ifindex = from->in6.sin6_scope_id};

		cm->cmsg_level = IPPROTO_IPV6;
		cm->cmsg_type = IPV6_PKTINFO;
		cm->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(cm), &info, sizeof(info));
	} else {
		struct in_pktinfo info = {.ipi_spec_dst = from->in4.sin_addr};

		cm->cmsg_level = IPPROTO_IP;
		cm->cmsg_type = IP_PKTINFO;
		cm->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(cm), &info, sizeof(info));
	}
}

/* Send all that is queued; what fails is dropped, the rest goes on. */
static void
flush(struct pfk_datagram *d)
{
	unsigned at = 0;

	while (at < d->queued) {
		int n = sendmmsg(d->io.fd, d->out.msg + at, d->queued - at,
		    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			at += (unsigned)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == ENOBUFS)
			d->dropped++;
		else
			report(d, errno);
		at++;
	}
	d->queued = 0;
}

static bool
in_batch(const struct pfk_datagram *d, const void *buf)
{
	const char *base = d->in.iov[0].iov_base;

	return d->delivering && (const char *)buf >= base &&
	    (const char *)buf < base + PFK__SCRATCH_BYTES;
}

void
pfk_sendto(struct pfk_datagram *d, const void *buf, size_t len,
    const struct pfk_addr *to, const struct pfk_addr *from)
{
	struct msghdr *h;
	unsigned i;

	if (d->closed)
		return;
	if (d->queued == BATCH)
		flush(d);
	i = d->queued++;
	h = &d->out.msg[i].msg_hdr;
	if (to != NULL)
		d->out.addr[i] = *to;
	d->out.iov[i].iov_base = (void *)(uintptr_t)buf;
	d->out.iov[i].iov_len = len;
	*h = (struct msghdr){.msg_name = to != NULL ? &d->out.addr[i].sa : NULL,
	    .msg_namelen = to != NULL ? to->len : 0,
	    .msg_iov = &d->out.iov[i],
	    .msg_iovlen = 1};
	if (from != NULL && d->pktinfo)
		set_source(h, &d->out.control[i], from);
	/* Other memory ends with this call. */
	if (!in_batch(d, buf))
		flush(d);
}

/* receiving */

static void
prepare(struct pfk_datagram *d, char *scratch)
{
	for (unsigned i = 0; i < BATCH; i++) {
		struct msghdr *h = &d->in.msg[i].msg_hdr;

		d->in.iov[i].iov_base = scratch + (size_t)i * PACKET_BYTES;
		d->in.iov[i].iov_len = PACKET_BYTES;
		h->msg_name = &d->in.addr[i].sa;
		h->msg_namelen = sizeof(d->in.addr[i].in6);
		h->msg_iov = &d->in.iov[i];
		h->msg_iovlen = 1;
		h->msg_control = d->pktinfo ? &d->in.control[i] : NULL;
		h->msg_controllen = d->pktinfo ? sizeof(d->in.control[i]) : 0;
		h->msg_flags = 0;
	}
}

/* The address that was asked, and whether it is ours alone. */
static bool
asked_address(struct pfk_datagram *d, struct msghdr *h, struct pfk_addr *to)
{
	struct cmsghdr *cm;

	*to = d->local;
	if (!d->pktinfo)
		return true;
	for (cm = CMSG_FIRSTHDR(h); cm != NULL; cm = CMSG_NXTHDR(h, cm)) {
		if (cm->cmsg_level == IPPROTO_IP &&
		    cm->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(cm), sizeof(info));
			to->in4.sin_addr = info.ipi_addr;
			return info.ipi_addr.s_addr == info.ipi_spec_dst.s_addr;
		}
		if (cm->cmsg_level == IPPROTO_IPV6 &&
		    cm->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(cm), sizeof(info));
			to->in6.sin6_addr = info.ipi6_addr;
			if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
				to->in6.sin6_scope_id = info.ipi6_ifindex;
			return !IN6_IS_ADDR_MULTICAST(&info.ipi6_addr);
		}
	}
	return true;
}

static void
deliver(struct pfk_datagram *d, unsigned i)
{
	struct msghdr *h = &d->in.msg[i].msg_hdr;
	struct pfk_addr to;
	struct pfk_packet p = {.buf = d->in.iov[i].iov_base,
	    .len = d->in.msg[i].msg_len,
	    .from = &d->in.addr[i],
	    .to = &to};

	d->in.addr[i].len = h->msg_namelen;
	p.unicast = asked_address(d, h, &to);
	if (d->proto->datagram_received != NULL)
		d->proto->datagram_received(d->self, &p);
}

/* One batch; false when the queue is empty. */
static bool
receive(struct pfk_datagram *d)
{
	int n;

	prepare(d, d->io.loop->scratch);
	n = recvmmsg(d->io.fd, d->in.msg, BATCH, MSG_DONTWAIT, NULL);
	if (n == -1) {
		if (errno == EAGAIN || errno == EINTR)
			return false;
		report(d, errno); /* such as ICMP's: now it is cleared */
		return true;
	}
	d->delivering = true;
	for (int i = 0; i < n && !d->closed; i++)
		deliver(d, (unsigned)i);
	flush(d);
	d->delivering = false;
	return n == BATCH;
}

static void
on_ready(void *arg, unsigned ready)
{
	(void)ready;
	receive(arg);
}

/* the handle */

static void
on_lost(void *arg)
{
	struct pfk_datagram *d = arg;

	if (d->proto->connection_lost != NULL)
		d->proto->connection_lost(d->self, 0);
	pfk__member_remove(&d->member);
	d->io.fd = -1;
	if (!d->handle)
		free(d);
}

static void
shut(struct pfk_datagram *d)
{
	if (d->closed)
		return;
	flush(d);
	d->closed = true;
	pfk__io_stop(&d->io);
	close(d->io.fd);
	pfk__soon_cancel(d->io.loop, &d->reported);
	pfk__soon_add(d->io.loop, &d->lost, on_lost, d);
}

/* Answer what is queued: perhaps nobody else will. */
static void
flush_queue(struct pfk_datagram *d)
{
	for (int i = 0; i < DRAIN_BATCHES && !d->closed; i++) {
		if (!receive(d))
			return;
	}
}

static void
drain(struct pfk__member *m, enum pfk_drain how)
{
	struct pfk_datagram *d = (struct pfk_datagram *)m;

	if (how != PFK_DRAIN_NOW)
		flush_queue(d);
	shut(d);
}

/* The endpoint after m that has not been closed, or NULL. */
static struct pfk_datagram *
next_open(const struct pfk__member *m)
{
	for (; m != NULL; m = LIST_NEXT(m, link)) {
		struct pfk_datagram *d = (struct pfk_datagram *)(uintptr_t)m;

		if (m->drain == drain && !d->closed)
			return d;
	}
	return NULL;
}

static int
adopt(struct pfk_loop *l, int fd, int owner)
{
	struct pfk_addr local = {.len = sizeof(local.in6)};
	struct pfk_datagram *d, *adopted;

	if (getsockname(fd, &local.sa, &local.len) == -1)
		return -1;
	d = next_open(LIST_FIRST(&l->members));
	while (d != NULL && !pfk_addr_equal(&d->local, &local))
		d = next_open(LIST_NEXT(&d->member, link));
	if (d == NULL) {
		errno = ENOENT;
		return -1;
	}
	adopted = pfk_datagram_open(l, fd, d->proto, d->arg);
	if (adopted == NULL)
		return -1;
	adopted->owner = owner;
	adopted->handle = false;
	return 0;
}

static void
release(struct pfk_loop *l, int owner)
{
	struct pfk_datagram *d = next_open(LIST_FIRST(&l->members));

	for (; d != NULL; d = next_open(LIST_NEXT(&d->member, link))) {
		if (d->owner == owner) {
			flush_queue(d);
			shut(d);
		}
	}
}

struct pfk_datagram *
pfk_datagram_open(struct pfk_loop *l, int fd,
    const struct pfk_datagram_protocol *proto, void *arg)
{
	struct pfk_datagram *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->proto = proto;
	d->arg = arg;
	d->owner = -1;
	d->local.len = sizeof(d->local.in6);
	if (getsockname(fd, &d->local.sa, &d->local.len) == -1 ||
	    pfk__io_start(l, &d->io, fd, PFK_READ, on_ready, d) == -1) {
		free(d);
		return NULL;
	}
	d->pktinfo = pfk_addr_is_any(&d->local);
	d->handle = true;
	pfk__member_add(l, &d->member, drain);
	l->adopt_datagram = adopt;
	l->release_datagrams = release;
	d->self = d;
	if (proto->connection_made != NULL)
		d->self = proto->connection_made(d, arg);
	return d;
}

int
pfk_datagram_peername(const struct pfk_datagram *d, struct pfk_addr *a)
{
	*a = (struct pfk_addr){.len = sizeof(a->in6)};
	return getpeername(d->io.fd, &a->sa, &a->len);
}

uint64_t
pfk_datagram_dropped(const struct pfk_datagram *d)
{
	return d->dropped;
}

void
pfk_datagram_close(struct pfk_datagram **dp)
{
	struct pfk_datagram *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	shut(d);
	d->handle = false;
	if (d->io.fd == -1)
		free(d);
}
