/*
 * udp_drops.c: count the datagrams that an endpoint loses, and log them.
 *
 * Layer: transport.  The kernel counts the datagrams that found a receive
 * buffer full, and tells the count beside each later datagram: SO_RXQ_OVFL in
 * socket(7).  The count belongs to the socket, so that an endpoint begins with
 * the count that it finds.  A send that fails drops its datagrams.  A datagram
 * that the kernel drops after it was sent, because its peer does not answer
 * ARP, is not counted: the kernel tells this by an error of the next send,
 * which would then be lost too (IP_RECVERR in ip(7)).
 */
#include <errno.h>
#include <linux/sock_diag.h>
#include <string.h>

#include "transport/udp.h"

/* The first report waits so long, to tell how many there were. */
#define FIRST_NS PFK_SECOND_NS
#define EVERY_NS (60 * PFK_SECOND_NS)

static int
buffer_bytes(const struct pfk_datagram *d, int option)
{
	socklen_t len = sizeof(int);
	int doubled = 0;

	getsockopt(d->io.fd, SOL_SOCKET, option, &doubled, &len);
	return doubled / 2;
}

static unsigned long long
fresh(uint64_t count, uint64_t *logged)
{
	uint64_t n = count - *logged;

	*logged = count;
	return n;
}

static const char *
plural(unsigned long long n)
{
	return n == 1 ? "" : "s";
}

static void
report(struct pfk_datagram *d)
{
	struct pfk__udp_drops *s = &d->drops;
	char name[PFK_ADDR_SIZE], to[PFK_ADDR_SIZE];
	unsigned long long n;

	s->logged_ns = pfk_loop_now(d->io.loop);
	pfk_addr_format(name, &d->local);
	n = fresh(s->unread, &s->unread_logged);
	if (n > 0)
		pfk_log(PFK_WARNING,
		    "udp %s: dropped %llu datagram%s before being read, because "
		    "the receive buffer (%d bytes) was full; make it "
		    "larger (net.core.rmem_max may bound it) or start more "
		    "workers",
		    name, n, plural(n), buffer_bytes(d, SO_RCVBUF));
	n = fresh(s->unsent, &s->unsent_logged);
	if (n > 0 && d->is_unix)
		pfk_log(PFK_WARNING,
		    "unix: dropped %llu datagram%s to be sent, because the queue "
		    "of the receiver, or the send buffer (%d bytes), was full; a "
		    "client reads too slowly, or net.unix.max_dgram_qlen is too "
		    "small",
		    n, plural(n), buffer_bytes(d, SO_SNDBUF));
	else if (n > 0)
		pfk_log(PFK_WARNING,
		    "udp %s: dropped %llu datagram%s to be sent, because the "
		    "send buffer (%d bytes) was full; make it larger "
		    "(net.core.wmem_max may bound it)",
		    name, n, plural(n), buffer_bytes(d, SO_SNDBUF));
	n = fresh(s->failed, &s->failed_logged);
	if (n > 0 && d->is_unix)
		pfk_log(PFK_WARNING,
		    "unix: could not send %llu datagram%s: %s; the peer has "
		    "gone, or has no name to be answered at",
		    n, plural(n), strerror(s->failed_error));
	else if (n > 0)
		pfk_log(PFK_WARNING,
		    "udp %s: could not send %llu datagram%s, the last to %s: "
		    "%s; look at the routes and the firewall",
		    name, n, plural(n), pfk_addr_format(to, &s->failed_to),
		    strerror(s->failed_error));
}

static void
on_report(void *arg)
{
	report(arg);
}

/* At most once a minute, however many there are. */
static void
report_soon(struct pfk_datagram *d)
{
	struct pfk__udp_drops *s = &d->drops;
	uint64_t now = pfk_loop_now(d->io.loop), wait = FIRST_NS;

	if (s->report != NULL || s->connected)
		return;
	if (s->logged_ns != 0 && s->logged_ns + EVERY_NS > now + wait)
		wait = s->logged_ns + EVERY_NS - now;
	pfk_timer_set(&s->report, d->io.loop, wait, on_report, d);
}

void
pfk__udp_drops_begin(struct pfk_datagram *d)
{
	uint32_t memory[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(memory);
	struct pfk_addr peer;
	int on = 1;

	setsockopt(d->io.fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on));
	if (getsockopt(d->io.fd, SOL_SOCKET, SO_MEMINFO, memory, &len) == 0)
		d->drops.kernel = memory[SK_MEMINFO_DROPS];
	d->drops.connected = pfk_datagram_peername(d, &peer) == 0;
}

void
pfk__udp_drops_unread(struct pfk_datagram *d, uint32_t kernel)
{
	d->io.loop->stats->counts[PFK__COUNT_DROPPED_RECEIVE_BUFFER] += kernel -
	    d->drops.kernel;
	d->drops.unread += kernel - d->drops.kernel;
	d->drops.kernel = kernel;
	report_soon(d);
}

void
pfk__udp_drops_unsent(struct pfk_datagram *d, unsigned n)
{
	d->io.loop->stats->counts[PFK__COUNT_DROPPED_SEND_BUFFER] += n;
	d->drops.unsent += n;
	report_soon(d);
}

void
pfk__udp_drops_failed(struct pfk_datagram *d, const struct msghdr *h, int error,
    unsigned n)
{
	struct pfk__udp_drops *s = &d->drops;

	d->io.loop->stats->counts[PFK__COUNT_DROPPED_ERROR] += n;
	s->failed += n;
	s->failed_error = error;
	s->failed_to = d->local;
	if (!d->is_unix && h->msg_namelen <= sizeof(s->failed_to.in6)) {
		s->failed_to.len = h->msg_namelen;
		if (h->msg_namelen > 0)
			memcpy(&s->failed_to.sa, h->msg_name, h->msg_namelen);
	}
	report_soon(d);
}

void
pfk__udp_drops_end(struct pfk_datagram *d)
{
	if (d->drops.report != NULL)
		report(d);
	pfk_timer_cancel(&d->drops.report);
}
