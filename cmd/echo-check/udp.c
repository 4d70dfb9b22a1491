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
	flow_lost(f, loss_of(error));
	udp_pump(f);
}

static const struct pfk_datagram_protocol protocol = {
    .connection_made = connection_made,
    .datagram_received = datagram_received,
    .error_received = error_received,
};

static int
open_endpoint(struct flow *f)
{
	struct check *c = f->check;
	struct pfk_connect_options o = {.host = c->o.host,
	    .port = (uint16_t)c->o.port,
	    .family = c->o.ipv4 ? AF_INET
		: c->o.ipv6     ? AF_INET6
				: AF_UNSPEC,
	    .timeout_ns = c->o.timeout_ns};

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

	if (!c->sending || (f->endpoint == NULL && open_endpoint(f) == -1))
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
