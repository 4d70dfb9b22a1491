/*
 * udp.c: a flow over UDP: one connected socket.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static void *
connection_made(struct pfk_datagram *d, void *arg)
{
	(void)d;
	return arg;
}

static void
datagram_received(void *self, const struct pfk_packet *p)
{
	struct flow *f = self;

	flow_received(f, p->buf, p->len);
	udp_pump(f);
}

static void
error_received(void *self, int error)
{
	struct flow *f = self;
	struct check *c = f->check;

	if (!c->reached && error == ECONNREFUSED) {
		check_give_up(c, error, "connection refused, says ICMP");
		return;
	}
	/* The sweep goes on: at once, it would be refused as fast as we send. */
	flow_lost(f, loss_of(error));
}

static const struct pfk_datagram_protocol protocol = {
    .connection_made = connection_made,
    .datagram_received = datagram_received,
    .error_received = error_received,
};

static int
look_up(struct check *c, int family)
{
	const char *errstr = "no address";
	struct pfk_addr a;

	if (c->peer[0] == '\0' &&
	    pfk_resolve(c->o.host, (uint16_t)c->o.port, family, c->o.timeout_ns,
		&a, 1, &errstr) < 1) {
		check_give_up(c, PFK_ENOHOST, errstr);
		return -1;
	}
	if (c->peer[0] == '\0')
		check_set_peer(c, &a);
	return 0;
}

static int
open_endpoint(struct flow *f)
{
	struct check *c = f->check;
	struct pfk_connect_options o = {.host = c->peer,
	    .port = (uint16_t)c->o.port,
	    .family = c->o.ipv4 ? AF_INET
		: c->o.ipv6     ? AF_INET6
				: AF_UNSPEC,
	    .timeout_ns = c->o.timeout_ns};

	if (look_up(c, o.family) == -1)
		return -1;
	f->endpoint = pfk_datagram_connect(c->loop, &o, &protocol, f);
	if (f->endpoint != NULL)
		return 0;
	check_give_up(c, errno, strerror(errno));
	return -1;
}

void
udp_pump(struct flow *f)
{
	struct check *c = f->check;

	if (!flow_may_send(f) ||
	    (f->endpoint == NULL && open_endpoint(f) == -1))
		return;
	while (flow_may_send(f)) {
		flow_sending(f);
		pfk_sendto(f->endpoint, c->buf, (size_t)c->o.size, NULL, NULL);
	}
}

void
udp_close(struct flow *f)
{
	pfk_datagram_close(&f->endpoint);
}
