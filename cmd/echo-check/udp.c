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
	struct flow *f = arg;

	f->connector = NULL;
	f->endpoint = d;
	udp_pump(f);
	return f;
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
		if (!check_next_peer(c))
			check_give_up(c, error,
			    "connection refused, says ICMP");
		return;
	}
	/* The sweep goes on: at once, it would be refused as fast as we send. */
	flow_lost(f, fault_of(error));
}

static const struct pfk_datagram_protocol protocol = {
    .connection_made = connection_made,
    .datagram_received = datagram_received,
    .error_received = error_received,
};

static void
failed(void *arg, int error, const char *causes)
{
	struct flow *f = arg;

	f->connector = NULL;
	if (f->check->reached || !check_next_peer(f->check))
		check_give_up(f->check, error, causes);
}

static void
start_connecting(struct flow *f)
{
	struct check *c = f->check;
	struct pfk_connect_options o = {.host = c->peer,
	    .port = (uint16_t)c->o.port,
	    .family = c->o.ipv4 ? AF_INET
		: c->o.ipv6     ? AF_INET6
				: AF_UNSPEC,
	    .timeout_ns = c->o.timeout_ns};

	f->connector = pfk_datagram_connect(c->loop, &o, &protocol, f, failed);
	if (f->connector == NULL)
		failed(f, errno, strerror(errno));
}

void
udp_pump(struct flow *f)
{
	struct check *c = f->check;

	if (f->endpoint == NULL) {
		if (f->connector == NULL && flow_may_send(f) &&
		    check_may_connect(f))
			start_connecting(f);
		return;
	}
	while (flow_may_send(f)) {
		flow_sending(f);
		pfk_sendto(f->endpoint, c->buf, (size_t)c->o.size, NULL, NULL);
	}
}

void
udp_close(struct flow *f)
{
	pfk_connect_cancel(&f->connector);
	pfk_datagram_close(&f->endpoint);
}
