/*
 * udp.c: a datagram endpoint that reads in batches.
 *
 * Layer: transport.  recvmmsg(2) fills the loop's scratch area, with UDP_GRO
 * many datagrams a message, and each is delivered where it lies.  udp(7) on
 * UDP_GRO, ip(7) and ipv6(7) on IP_PKTINFO.
 */
#include <assert.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fds.h"
#include "base/misuse.h"
#include "base/received.h"
#include "event/fork.h"
#include "net/addr.h"
#include "net/errors.h"
#include "transport/server.h"
#include "transport/udp.h"

#define DRAIN_BATCHES 64

static_assert(PFK__BATCH * PFK__PACKET_BYTES <= PFK__SCRATCH_BYTES, "no room");

static void
on_error(void *arg)
{
	struct pfk_datagram *d = arg;

	if (d->proto->error_received != NULL)
		d->proto->error_received(d->self, d->error);
}

void
pfk__udp_report(struct pfk_datagram *d, int error)
{
	d->error = error;
	pfk__soon_add(d->io.loop, &d->reported, on_error, d);
}

/* receiving */

void
pfk__udp_prepare(struct pfk__batch *b, unsigned i, char *scratch)
{
	assert(i < PFK__BATCH);
	b->in_iov[i].iov_base = scratch + (size_t)i * PFK__PACKET_BYTES;
	b->in_iov[i].iov_len = PFK__PACKET_BYTES;
	b->in[i].msg_hdr = (struct msghdr){.msg_name = &b->senders[i].addr.sa,
	    .msg_namelen = sizeof(b->senders[i].local.un),
	    .msg_iov = &b->in_iov[i],
	    .msg_iovlen = 1,
	    .msg_control = &b->in_control[i],
	    .msg_controllen = sizeof(b->in_control[i])};
	b->in[i].msg_len = PFK__UNTOLD;
}

/* All endpoints of a loop share it: one at a time is read from. */
static int
need_batch(struct pfk_loop *l)
{
	if (l->batch != NULL)
		return 0;
	static_assert(sizeof(*l->batch) <= PFK__BATCH_ROOM, "no room");
	l->batch = l->ledger->batch;
	/* A predecessor's: pfk__udp_rebuild reads it first. */
	if (l->ledger->resumed && l->batch->reading != 0)
		return 0;
	for (unsigned i = 0; i < PFK__BATCH; i++)
		pfk__udp_prepare(l->batch, i, l->scratch);
	pfk__udp_send_clear(l->batch);
	return 0;
}

/*
 * Switch on the options that make batches cheaper, where the kernel has them.
 */
static void
tune(struct pfk_datagram *d)
{
	int on = 1, size;
	socklen_t len = sizeof(size);

	if (d->is_unix) {
		/* Each datagram tells its sender's identity. */
		setsockopt(d->io.fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
		pfk__receive_none(d->io.fd);
		return;
	}
	setsockopt(d->io.fd, SOL_UDP, UDP_GRO, &on, sizeof(on));
	d->segments = getsockopt(d->io.fd, SOL_UDP, UDP_SEGMENT, &size, &len) ==
	    0;
}

/* Ancillary data of a received message. */
struct meta {
	struct pfk_addr to;
	bool unicast;
	size_t segment; /* the length of each datagram in it but the last */
	uint32_t drops; /* of the socket, ever */
};

static void
take_control(struct meta *m, struct cmsghdr *cm)
{
	if (cm->cmsg_level == IPPROTO_IP && cm->cmsg_type == IP_PKTINFO) {
		struct in_pktinfo info;

		memcpy(&info, CMSG_DATA(cm), sizeof(info));
		m->to.in4.sin_addr = info.ipi_addr;
		m->unicast = info.ipi_addr.s_addr == info.ipi_spec_dst.s_addr;
	} else if (cm->cmsg_level == IPPROTO_IPV6 &&
	    cm->cmsg_type == IPV6_PKTINFO) {
		struct in6_pktinfo info;

		memcpy(&info, CMSG_DATA(cm), sizeof(info));
		m->to.in6.sin6_addr = info.ipi6_addr;
		if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
			m->to.in6.sin6_scope_id = info.ipi6_ifindex;
		m->unicast = !IN6_IS_ADDR_MULTICAST(&info.ipi6_addr);
	} else if (cm->cmsg_level == SOL_UDP && cm->cmsg_type == UDP_GRO) {
		int segment;

		memcpy(&segment, CMSG_DATA(cm), sizeof(segment));
		if (segment > 0)
			m->segment = (size_t)segment;
	} else if (cm->cmsg_level == SOL_SOCKET &&
	    cm->cmsg_type == SO_RXQ_OVFL) {
		memcpy(&m->drops, CMSG_DATA(cm), sizeof(m->drops));
	}
}

/* Whether the datagram was answered before, by a predecessor. */
static bool
is_done(const struct pfk__batch *b)
{
	return b->at.message < b->from.message ||
	    (b->at.message == b->from.message && b->at.offset < b->from.offset);
}

/* Whether it is the one that a predecessor died of. */
static bool
is_skipped(const struct pfk__batch *b)
{
	return b->skipping != 0 && b->at.message == b->skip.message &&
	    b->at.offset == b->skip.offset;
}

/*
 * Deliver message i, which with UDP_GRO may be several datagrams of one peer.
 * The option is the socket's: another process may have set it.
 */
static void
deliver(struct pfk_datagram *d, struct pfk__batch *b, unsigned i)
{
	struct pfk__stats *stats = d->io.loop->stats;
	struct msghdr *h = &b->in[i].msg_hdr;
	size_t left = b->in[i].msg_len;
	struct meta m = {d->local, true, left, d->drops.kernel};
	struct pfk_packet p = {.buf = b->in_iov[i].iov_base,
	    .from = &b->senders[i].addr,
	    .to = &m.to};
	struct pfk__origin origin;

	d->io.loop->work += PFK__WORK_UNIT + left;
	stats->counts[PFK__COUNT_DATAGRAM_BYTES_IN] += left;
	if (d->is_unix) {
		if (!pfk__udp_unix_meet(d, b, i, &p, &origin))
			return;
	} else {
		b->senders[i].addr.len = h->msg_namelen <=
			sizeof(b->senders[i].addr.in6)
		    ? h->msg_namelen
		    : sizeof(b->senders[i].addr.in6);
	}
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(h); cm != NULL;
	     cm = CMSG_NXTHDR(h, cm))
		take_control(&m, cm);
	p.unicast = m.unicast;
	if (m.drops != d->drops.kernel)
		pfk__udp_drops_unread(d, m.drops);
	b->at = (struct pfk__cursor){i, 0};
	b->copied = 0;
	do {
		p.len = left < m.segment ? left : m.segment;
		if (!is_done(b) && !is_skipped(b))
			d->proto->datagram_received(d->self, &p);
		if (pfk__forked(d->io.loop))
			return;
		stats->counts[PFK__COUNT_DATAGRAMS_IN]++;
		p.buf = (const char *)p.buf + p.len;
		left -= p.len;
		b->at.offset += (uint32_t)p.len;
	} while (left > 0 && !d->closed);
}

/* Like recvmmsg(2), one by one: -1 only if not even the first was read. */
static int
read_singly(int fd, struct pfk__batch *b)
{
	int n = 0;

	while (n < PFK__BATCH) {
		ssize_t len = recvmsg(fd, &b->in[n].msg_hdr, MSG_DONTWAIT);

		if (len == -1)
			return n > 0 ? n : -1;
		b->in[n++].msg_len = (unsigned)len;
	}
	return n;
}

static int
read_batch(int fd, struct pfk__batch *b)
{
	int n = recvmmsg(fd, b->in, PFK__BATCH, MSG_DONTWAIT, NULL);

	/* No socket has these errors: a sandbox denies the call. */
	if (n == -1 && pfk__is_denied(errno))
		return read_singly(fd, b);
	return n;
}

/* Deliver the first n messages, and send the answers. */
void
pfk__udp_handle(struct pfk_datagram *d, struct pfk__batch *b, unsigned n)
{
	struct pfk_loop *l = d->io.loop;
	uint64_t sent = l->stats->counts[PFK__COUNT_DATAGRAMS_OUT];
	uint64_t begun = (l->turns & 15) == 0 ? pfk__clock_now() : 0;

	assert(n <= PFK__BATCH);
	pfk__record_event(l->recorder, l->now, PFK__HAPPENED_DATAGRAMS,
	    d->io.fd, n);
	b->reader = d;
	for (unsigned i = 0; i < n; i++) {
		if (!d->closed && d->proto->datagram_received != NULL)
			deliver(d, b, i);
	}
	b->at = (struct pfk__cursor){n, 0};
	pfk__udp_send_flush(d);
	sent = l->stats->counts[PFK__COUNT_DATAGRAMS_OUT] - sent;
	if (sent > 0)
		pfk__record_event(l->recorder, l->now, PFK__HAPPENED_ANSWERS,
		    d->io.fd, sent);
	if (sent > 0 && begun != 0)
		pfk__histogram_add(&l->stats->times[PFK__TIME_RESPONSE],
		    pfk__clock_now() - begun, sent);
	b->reader = NULL;
	b->reading = 0;
	b->skipping = 0;
	pfk__in_order();
	for (unsigned i = 0; i < n; i++)
		pfk__udp_prepare(b, i, d->io.loop->scratch);
}

/* One batch; false when the queue is empty. */
static bool
receive(struct pfk_datagram *d)
{
	struct pfk__batch *b = d->io.loop->batch;
	int n;

	b->from = b->at = (struct pfk__cursor){0};
	pfk__in_order();
	b->reading = d->io.fd + 1;
	pfk__in_order();
	if (d->is_unix)
		pfk__udp_unix_prepare(b);
	n = read_batch(d->io.fd, b);
	if (n == -1) {
		b->reading = 0;
		if (errno == EAGAIN || errno == EINTR)
			return false;
		/* Such as ICMP's: now it is cleared. */
		pfk__udp_report(d, errno);
		return true;
	}
	pfk__udp_handle(d, b, (unsigned)n);
	return n == PFK__BATCH;
}

static void
on_ready(void *arg, unsigned ready)
{
	struct pfk_datagram *d = arg;

	receive(d);
	/* The program may want to look at the queue, in error_received. */
	if ((ready & PFK_FAULT) != 0 && d->reported.order == 0 && !d->closed)
		pfk__errors_drop(d->io.fd);
}

/* the handle */

static void
on_lost(void *arg)
{
	struct pfk_datagram *d = arg;

	assert(d->closed);
	if (d->proto->connection_lost != NULL)
		d->proto->connection_lost(d->self, 0);
	pfk__member_remove(d->io.loop, &d->member);
	d->io.fd = -1;
	if (!d->handle)
		free(d);
}

static void
shut(struct pfk_datagram *d)
{
	if (d->closed)
		return;
	pfk__udp_send_flush(d);
	d->closed = true;
	pfk__udp_drops_end(d);
	pfk__io_stop(&d->io);
	if (d->owner == -1 && d->member.drained != PFK__NO_DRAIN)
		pfk__ledger_leave(d->io.loop->ledger, d->io.fd);
	else
		pfk__ledger_end(d->io.loop->ledger, d->io.fd);
	pfk__soon_cancel(d->io.loop, &d->reported);
	pfk__soon_add(d->io.loop, &d->lost, on_lost, d);
}

/* Answer the queued datagrams, because perhaps no other worker will. */
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
struct pfk_datagram *
pfk__udp_next_open(const struct pfk__member *m)
{
	for (; m != NULL; m = LIST_NEXT(m, link)) {
		struct pfk_datagram *d = (struct pfk_datagram *)(uintptr_t)m;

		if (m->drain == drain && !d->closed)
			return d;
	}
	return NULL;
}

int
pfk__udp_adopt(struct pfk_loop *l, int fd, int owner)
{
	struct pfk_addr local = {.len = sizeof(local.in6)};
	struct pfk_datagram *d, *adopted;
	struct pfk__record *r;

	if (getsockname(fd, &local.sa, &local.len) == -1)
		return -1;
	d = pfk__udp_next_open(LIST_FIRST(&l->members));
	while (d != NULL && !pfk_addr_equal(&d->local, &local))
		d = pfk__udp_next_open(LIST_NEXT(&d->member, link));
	if (d == NULL) {
		errno = ENOENT;
		return -1;
	}
	adopted = pfk_datagram_open(l, fd, d->proto, d->arg);
	if (adopted == NULL)
		return -1;
	adopted->owner = owner;
	adopted->handle = false;
	r = pfk__record(l->ledger, fd);
	if (r != NULL) {
		r->owner = owner;
		pfk__ledger_note(l->ledger, fd, PFK__ENTRY_DATAGRAM);
	}
	return 0;
}

static void
release(struct pfk_loop *l, int owner)
{
	struct pfk_datagram *d = pfk__udp_next_open(LIST_FIRST(&l->members));

	for (; d != NULL; d = pfk__udp_next_open(LIST_NEXT(&d->member, link))) {
		if (d->owner == owner) {
			flush_queue(d);
			shut(d);
		}
	}
}

static const struct pfk__serving serving = {.adopt = pfk__udp_adopt,
    .release = release,
    .rebuild = pfk__udp_rebuild};

static int
watch(struct pfk_loop *l, struct pfk_datagram *d, int fd)
{
	const struct pfk__record *r = pfk__record(l->ledger, fd);

	if (r != NULL && r->entry == PFK__ENTRY_DATAGRAM)
		return pfk__io_resume(l, &d->io, fd, PFK_READ, on_ready, d);
	/* It was opened before the workers, so that they all have it. */
	return pfk__io_start(l, &d->io, fd,
	    PFK_READ | (l->yields ? PFK__FOR_ONE : 0u), on_ready, d);
}

struct pfk_datagram *
pfk_datagram_open(struct pfk_loop *l, int fd,
    const struct pfk_datagram_protocol *proto, void *arg)
{
	const struct pfk__record *r = pfk__record(l->ledger, fd);
	bool left = r != NULL && r->entry == PFK__ENTRY_LEFT;
	struct pfk_datagram *d;

	if (proto == NULL) {
		pfk__misuse(EINVAL, "pfk_datagram_open: no protocol");
		return NULL;
	}
	if (!left && pfk__datagram_check(fd) == -1)
		return NULL;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return NULL;
	if (need_batch(l) == -1)
		goto err;
	d->proto = proto;
	d->arg = arg;
	d->owner = -1;
	d->local.len = sizeof(d->local.in6);
	if (getsockname(fd, &d->local.sa, &d->local.len) == -1 ||
	    watch(l, d, fd) == -1)
		goto err;
	pfk__addr_clip(&d->local);
	d->is_unix = d->local.sa.sa_family == AF_UNIX;
	tune(d);
	pfk__udp_drops_begin(d);
	d->pktinfo = pfk__addr_is_any(&d->local);
	d->handle = true;
	pfk__member_add(l, &d->member, drain);
	l->serving[PFK_UDP] = &serving;
	d->self = d;
	if (proto->connection_made != NULL)
		d->self = proto->connection_made(d, arg);
	return d;
err:
	free(d);
	return NULL;
}

int
pfk_datagram_peername(const struct pfk_datagram *d, struct pfk_addr *a)
{
	*a = (struct pfk_addr){.len = sizeof(a->in6)};
	if (getpeername(d->io.fd, &a->sa, &a->len) == -1)
		return -1;
	pfk__addr_clip(a);
	return 0;
}

uint64_t
pfk_datagram_dropped(const struct pfk_datagram *d)
{
	return d->drops.unsent;
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
