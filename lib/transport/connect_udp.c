/*
 * connect_udp.c: a UDP socket connected to a name.
 *
 * Layer: transport.  connect(2) says at once whether there is a way to an
 * address, and not whether anybody is there: the first that it takes is it.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/misuse.h"
#include "net/self.h"
#include "net/sockopts.h"
#include "transport/connector.h"

#define PORT_TRIES 4

struct connector {
	struct pfk__connector base; /* first */
	const struct pfk_datagram_protocol *proto;
};

static int
bind_source(int fd, struct pfk__connector *c)
{
	if (c->source.len == 0)
		return 0;
	c->step = "bind";
	return bind(fd, &c->source.sa, c->source.len);
}

static int
open_once(struct pfk__connector *c, const struct pfk_addr *to)
{
	int fd, saved_errno;

	c->step = "socket";
	fd = socket(to->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0);
	if (fd == -1)
		return -1;
	if (pfk__sockopts_set(fd, PFK_UDP, &c->sockopts, &c->step) == 0 &&
	    bind_source(fd, c) == 0) {
		c->step = "connect";
		if (connect(fd, &to->sa, to->len) == 0)
			return fd;
	}
	saved_errno = errno;
	close(fd);
	errno = saved_errno;
	return -1;
}

/*
 * The kernel may choose the very port that we connect to: then we hold the
 * server's port, and are connected to ourselves where the address is the same
 * too.  The first socket stays open until there is a second, so that the
 * second gets another port.
 */
static int
open_connected(struct pfk__connector *c, const struct pfk_addr *to)
{
	bool chosen = c->source.len == 0 || pfk_addr_port(&c->source) == 0;
	int fd = open_once(c, to);

	for (int i = 0;
	     i < PORT_TRIES && chosen && fd != -1 && pfk__self_same_port(fd);
	     i++) {
		int other = open_once(c, to);

		if (other == -1)
			break;
		close(fd);
		fd = other;
	}
	if (fd == -1 || !pfk__self_connected(fd, pfk_addr_port(to)))
		return fd;
	close(fd);
	c->step = "connect";
	errno = ECONNREFUSED;
	return -1;
}

static void
begin(struct pfk__connector *base)
{
	struct connector *c = (struct connector *)base;
	const struct pfk_datagram_protocol *proto = c->proto;
	void (*failed)(void *, int, const char *) = base->failed;
	struct pfk_loop *l = base->loop;
	void *arg = base->arg;
	int fd = -1;

	for (int i = 0; i < base->n && fd == -1; i++) {
		fd = open_connected(base, &base->addrs[i]);
		if (fd == -1)
			pfk__connector_refused(base, &base->addrs[i], errno);
	}
	if (fd == -1) {
		pfk__connector_fail(base, base->error);
		return;
	}
	/* connection_made comes from inside the next call, if at all. */
	pfk__connector_free(base);
	if (pfk_datagram_open(l, fd, proto, arg) == NULL) {
		int error = errno;

		close(fd);
		failed(arg, error, strerror(error));
	}
}

static const struct pfk__connector_kind kind = {
    .size = sizeof(struct connector),
    .begin = begin,
};

struct pfk_connector *
pfk_datagram_connect(struct pfk_loop *l, const struct pfk_connect_options *o,
    const struct pfk_datagram_protocol *proto, void *arg,
    void (*failed)(void *arg, int error, const char *causes))
{
	struct pfk__connector *base;

	if (proto == NULL) {
		pfk__misuse(EINVAL, "pfk_datagram_connect: no protocol");
		return NULL;
	}
	base = pfk__connector_new("pfk_datagram_connect", l, &kind, o, arg,
	    failed);
	if (base == NULL)
		return NULL;
	((struct connector *)base)->proto = proto;
	return pfk__connector_handle(base);
}
