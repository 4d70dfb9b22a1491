/*
 * connect.c: connect to a name, by all of its addresses.
 *
 * Layer: transport.  RFC 8305: the families take turns, one more attempt
 * starts every 250 ms or as soon as one has failed, the first to succeed wins.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/self.h"
#include "net/sockopts.h"
#include "transport/connector.h"
#include "transport/server.h"

#define ATTEMPT_DELAY_NS (250 * PFK_MSEC_NS)

struct attempt {
	struct connector *connector;
	struct pfk_io io;
	const struct pfk_addr *addr;
	size_t sent; /* of the first bytes, which go with the SYN */
	bool pending;
};

struct connector {
	struct pfk__connector base; /* first */
	const struct pfk_protocol *proto;
	char *first;
	size_t first_len;
	struct pfk_timer *next;
	struct pfk__soon soon;
	struct attempt attempts[PFK__CONNECTOR_ADDRESSES];
	int started;
};

static void start_next(void *arg);

static void
release(struct pfk__connector *base)
{
	struct connector *c = (struct connector *)base;

	pfk__soon_cancel(base->loop, &c->soon);
	pfk_timer_cancel(&c->next);
	for (int i = 0; i < c->started; i++) {
		if (!c->attempts[i].pending)
			continue;
		pfk__io_stop(&c->attempts[i].io);
		pfk__self_close(c->attempts[i].io.fd);
	}
	free(c->first);
}

static bool
any_pending(const struct connector *c)
{
	for (int i = 0; i < c->started; i++) {
		if (c->attempts[i].pending)
			return true;
	}
	return false;
}

/* One address does not answer: try the next one now. */
static void
attempt_failed(struct attempt *a, int error)
{
	struct connector *c = a->connector;

	pfk__connector_refused(&c->base, a->addr, error);
	pfk_timer_cancel(&c->next);
	if (c->started < c->base.n)
		pfk__soon_add(c->base.loop, &c->soon, start_next, c);
	else if (!any_pending(c))
		pfk__connector_fail(&c->base, c->base.error);
}

static void
succeed(struct attempt *a)
{
	struct connector *c = a->connector;
	struct pfk_transport *tr;
	int fd = a->io.fd;
	void *arg = c->base.arg;

	assert(a->pending);
	c->base.step = "connect";
	a->pending = false;
	pfk__io_stop(&a->io);
	tr = pfk__roster_of_one(c->base.loop, fd, a->addr, c->proto,
	    c->base.sockopts.quickack == 1);
	if (tr == NULL) {
		pfk__connector_refused(&c->base, a->addr, errno);
		close(fd);
		pfk__connector_fail(&c->base, c->base.error);
		return;
	}
	/* The write calls nothing; its failure arrives as connection_lost. */
	if (a->sent < c->first_len)
		pfk_write(tr, c->first + a->sent, c->first_len - a->sent);
	pfk__connector_free(&c->base);
	pfk__tcp_begin(tr, arg);
}

static void
on_attempt(void *arg, unsigned ready)
{
	struct attempt *a = arg;
	socklen_t len = sizeof(int);
	int error = 0;

	(void)ready;
	if (getsockopt(a->io.fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		error = errno;
	/* Connected to itself, it only shows that nobody listens. */
	if (error == 0 && pfk__self_connected(a->io.fd, pfk_addr_port(a->addr)))
		error = ECONNREFUSED;
	if (error == 0) {
		succeed(a);
		return;
	}
	a->pending = false;
	pfk__io_stop(&a->io);
	pfk__self_close(a->io.fd);
	a->connector->base.step = "connect";
	attempt_failed(a, error);
}

/*
 * Many connections may share a port, those that have ended too: only the
 * four-tuple must be unique.  SO_REUSEADDR is set on each client socket, also
 * where the kernel chooses the port, so that a server can still be started on
 * that port.
 */
static int
bind_source(int fd, const struct pfk_addr *source, const char **step)
{
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (source->len == 0)
		return 0;
	if (pfk_addr_port(source) == 0)
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on,
		    sizeof(on));
	*step = "bind";
	return bind(fd, &source->sa, source->len);
}

/*
 * tcp(7), MSG_FASTOPEN: without a cookie the SYN asks for one.  Unlike after
 * TCP_FASTOPEN_CONNECT the socket becomes writable only with the server's
 * answer, so that a silent address does not win.
 */
static int
send_syn(struct attempt *a, int fd)
{
	struct connector *c = a->connector;
	ssize_t n = -1;

	c->base.step = "connect";
	if (c->first != NULL) {
		n = sendto(fd, c->first, c->first_len,
		    MSG_FASTOPEN | MSG_NOSIGNAL, &a->addr->sa, a->addr->len);
		a->sent = n > 0 ? (size_t)n : 0;
		if (n != -1 || errno == EINPROGRESS)
			return 0;
		if (errno != EOPNOTSUPP)
			return -1;
	}
	if (connect(fd, &a->addr->sa, a->addr->len) == -1 &&
	    errno != EINPROGRESS)
		return -1;
	return 0;
}

static int
open_attempt(struct attempt *a)
{
	struct pfk__connector *c = &a->connector->base;
	int fd, saved_errno, on = 1;

	c->step = "socket";
	fd = socket(a->addr->sa.sa_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	/* As of accepted ones: urgent data would be lost to recv(2). */
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	if (pfk__sockopts_set(fd, PFK_TCP, &c->sockopts, &c->step) == -1 ||
	    bind_source(fd, &c->source, &c->step) == -1 ||
	    send_syn(a, fd) == -1 ||
	    pfk__io_start(c->loop, &a->io, fd, PFK_WRITE, on_attempt, a) ==
		-1) {
		saved_errno = errno;
		pfk__self_close(fd);
		errno = saved_errno;
		return -1;
	}
	return 0;
}

static void
on_next(void *arg)
{
	start_next(arg);
}

static void
start_next(void *arg)
{
	struct connector *c = arg;
	struct attempt *a = &c->attempts[c->started];

	a->connector = c;
	a->addr = &c->base.addrs[c->started++];
	if (open_attempt(a) == -1) {
		attempt_failed(a, errno);
		return;
	}
	a->pending = true;
	if (c->started < c->base.n)
		pfk_timer_set(&c->next, c->base.loop, ATTEMPT_DELAY_NS, on_next,
		    c);
}

/* RFC 8305, section 4: the families take turns. */
static void
interleave(struct pfk_addr *addrs, int n)
{
	for (int i = 1; i + 1 < n; i++) {
		int before = addrs[i - 1].sa.sa_family, k = i;
		struct pfk_addr other;

		while (k < n && addrs[k].sa.sa_family == before)
			k++;
		if (k == n)
			return;
		other = addrs[k];
		for (; k > i; k--)
			addrs[k] = addrs[k - 1];
		addrs[i] = other;
	}
}

static void
begin(struct pfk__connector *base)
{
	interleave(base->addrs, base->n);
	start_next(base);
}

static void
late(struct pfk__connector *base)
{
	struct connector *c = (struct connector *)base;

	base->step = "connect";
	for (int i = 0; i < c->started; i++) {
		if (c->attempts[i].pending)
			pfk__connector_refused(base, c->attempts[i].addr,
			    ETIMEDOUT);
	}
}

static const struct pfk__connector_kind kind = {
    .size = sizeof(struct connector),
    .begin = begin,
    .late = late,
    .release = release,
};

struct pfk_connector *
pfk__connect(const char *call, struct pfk_loop *l,
    const struct pfk_connect_options *o, const struct pfk_protocol *proto,
    void *arg, void (*failed)(void *arg, int error, const char *causes))
{
	struct pfk__connector *base;
	struct connector *c;

	if (pfk__protocol_check(call, proto) == -1)
		return NULL;
	base = pfk__connector_new(call, l, &kind, o, arg, failed);
	c = (struct connector *)base;
	if (c == NULL)
		return NULL;
	c->proto = proto;
	if (base->sockopts.nodelay == PFK_UNSET)
		base->sockopts.nodelay = 1;
	if (o->first == NULL || o->first_len == 0)
		return pfk__connector_handle(base);
	c->first = malloc(o->first_len);
	if (c->first == NULL) {
		pfk__connector_free(base);
		return NULL;
	}
	memcpy(c->first, o->first, o->first_len);
	c->first_len = o->first_len;
	return pfk__connector_handle(base);
}

struct pfk_connector *
pfk_connect(struct pfk_loop *l, const struct pfk_connect_options *o,
    const struct pfk_protocol *proto, void *arg,
    void (*failed)(void *arg, int error, const char *causes))
{
	return pfk__connect("pfk_connect", l, o, proto, arg, failed);
}
