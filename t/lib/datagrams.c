/*
 * datagrams.c: an endpoint, and clients that know the answers due to them.
 */
#include "datagrams.h"

#include <err.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tap.h"
#include "unit.h"

#include "net/addr.h"

struct datagrams dg;

/* the endpoint */

static void
datagram_received(void *self, const struct pfk_packet *p)
{
	(void)self;
	dg.received++;
	if (dg.on_packet != NULL)
		dg.on_packet(p);
	if (dg.received == dg.limit)
		pfk_datagram_close(&dg.endpoint);
}

static void
error_received(void *self, int error)
{
	(void)self;
	dg.errors++;
	dg.last_error = error;
}

static void
connection_lost(void *self, int error)
{
	(void)self;
	dg.lost++;
	is_int(error, 0, "%s: closed as agreed", dg.backend);
}

const struct pfk_datagram_protocol dg_protocol = {
    .datagram_received = datagram_received,
    .error_received = error_received,
    .connection_lost = connection_lost,
};

void
dg_echo(const struct pfk_packet *p)
{
	if (dg.endpoint != NULL)
		pfk_sendto(dg.endpoint, p->buf, p->len, p->from, p->to);
}

int
dg_open_bound(const char *where, struct pfk_addr *bound)
{
	int fd, on = 1, room = 1 << 20;

	pfk_addr_parse(bound, where, 0);
	fd = socket(bound->sa.sa_family,
	    SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (pfk__addr_is_any(bound))
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
	if (bind(fd, &bound->sa, bound->len) == -1 ||
	    getsockname(fd, &bound->sa, &bound->len) == -1)
		err(1, "bind");
	return fd;
}

void
dg_begin_at(const char *where)
{
	dg.fds = unit_count_fds();
	dg.loop = pfk_loop_new(dg.backend);
	dg.received = dg.errors = dg.last_error = dg.lost = dg.limit = 0;
	dg.on_packet = dg_echo;
	dg.endpoint = pfk_datagram_open(dg.loop, dg_open_bound(where, &dg.addr),
	    &dg_protocol, NULL);
	for (int i = 0; i < DG_CLIENTS; i++) {
		memset(&dg.clients[i], 0, sizeof(dg.clients[i]));
		dg.clients[i].fd = dg_open_bound(dg.host, &dg.clients[i].addr);
	}
}

void
dg_end(const char *name)
{
	pfk_datagram_close(&dg.endpoint);
	is_int(pfk_loop_run(dg.loop), 0, "%s: %s: the loop ends", dg.backend,
	    name);
	is_int(dg.lost, 1, "%s: %s: connection_lost", dg.backend, name);
	pfk_loop_free(dg.loop);
	for (int i = 0; i < DG_CLIENTS; i++)
		close(dg.clients[i].fd);
	is_int(unit_count_fds(), dg.fds, "%s: %s: no descriptor is left",
	    dg.backend, name);
}

/* the clients */

char
dg_byte_of(const struct dg_client *c, int number, int at)
{
	return (char)(number * 7 + at + (int)(c - dg.clients) * 101);
}

/* Write the next datagram of the client to buf. */
static void
fill(const struct dg_client *c, int number, char *buf, int len)
{
	for (int i = 0; i < len; i++)
		buf[i] = dg_byte_of(c, number, i);
}

static void
promise(struct dg_client *c, int len)
{
	c->lens[c->promised++] = len;
}

/* n datagrams of len and one of `last`, by one call where that is not -1. */
void
dg_put_train(struct dg_client *c, const struct pfk_addr *to, int len, int n,
    int last)
{
	static char buf[65536];
	uint16_t segment = (uint16_t)len;
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(segment))];
	} control = {.align = {.cmsg_level = SOL_UDP,
			 .cmsg_type = UDP_SEGMENT,
			 .cmsg_len = CMSG_LEN(sizeof(segment))}};
	struct iovec iov = {buf, 0};
	struct msghdr h = {.msg_name = (void *)(uintptr_t)&to->sa,
	    .msg_namelen = to->len,
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.align), &segment, sizeof(segment));
	for (int i = 0; i < n + (last >= 0); i++) {
		int l = i < n ? len : last;

		fill(c, c->promised, buf + iov.iov_len, l);
		iov.iov_len += (size_t)l;
		promise(c, l);
	}
	if (n + (last >= 0) == 1)
		h.msg_controllen = 0;
	if (syscall(SYS_sendmsg, c->fd, &h, 0) == -1)
		err(1, "sendmsg of %d times %d", n, len);
}

void
dg_put(struct dg_client *c, int len)
{
	dg_put_train(c, &dg.addr, len, 1, -1);
}

/* How many of the datagrams that a client got, or lacks, are wrong. */
int
dg_count_wrong(struct dg_client *c)
{
	static char buf[65536], want[65536];
	int n, wrong = 0, len;

	for (n = c->checked;; n++) {
		len = (int)recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (len == -1)
			break;
		if (n < c->promised)
			fill(c, n, want, c->lens[n]);
		wrong += n >= c->promised || len != c->lens[n] ||
		    memcmp(buf, want, (size_t)len) != 0;
	}
	wrong += abs(c->promised - n);
	c->checked = c->promised;
	return wrong;
}

/* The number of the next one that is there, by its first byte, or -1. */
int
dg_got_number(struct dg_client *c)
{
	char byte;

	if (recv(c->fd, &byte, 1, MSG_DONTWAIT) == -1)
		return -1;
	for (int i = 0; i < c->promised; i++) {
		if (byte == dg_byte_of(c, i, 0))
			return i;
	}
	return -2;
}

/* Deliver all, and see that each client gets its promised answers. */
void
dg_check(int deliveries, const char *name)
{
	unit_run_until(dg.loop, &dg.received, deliveries);
	unit_settle(dg.loop);
	is_int(dg.received, deliveries, "%s: %s: delivered one by one",
	    dg.backend, name);
	for (int i = 0; i < DG_CLIENTS; i++)
		is_int(dg_count_wrong(&dg.clients[i]), 0,
		    "%s: %s: answers to %d, in order", dg.backend, name, i);
}

bool
dg_has_host(void)
{
	struct pfk_addr a;
	int fd, rc;

	pfk_addr_parse(&a, dg.host, 0);
	fd = socket(a.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	rc = bind(fd, &a.sa, a.len);
	close(fd);
	return rc == 0;
}
