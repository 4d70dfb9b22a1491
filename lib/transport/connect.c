/*
 * connect.c: connect to a name, by all of its addresses.
 *
 * Layer: transport.  RFC 8305: the families take turns, one more attempt
 * starts every 250 ms or as soon as one has failed, the first to succeed wins.
 * Names are looked up in a child, so the loop goes on meanwhile.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/resolve.h"
#include "net/sockopts.h"
#include "transport/server.h"

#define ADDRESSES_MAX 32
#define ATTEMPT_DELAY_NS (250 * PFK_MSEC_NS)

struct attempt {
	struct pfk_connector *connector;
	struct pfk_io io;
	struct pfk_addr addr;
	bool pending;
};

struct pfk_connector {
	struct pfk_loop *loop;
	const struct pfk_protocol *proto;
	void *arg;
	void (*failed)(void *arg, int error, const char *causes);
	struct pfk_sockopts sockopts;
	struct pfk_addr source; /* len 0: any */
	struct pfk__lookup lookup;
	struct pfk_io lookup_io;
	struct pfk_timer *timeout, *next;
	struct pfk__soon soon;
	struct attempt attempts[ADDRESSES_MAX];
	int n, started;
	int error; /* the first attempt's */
	char causes[PFK_CAUSES_SIZE];
};

static void start_next(void *arg);

static void
release(struct pfk_connector *c)
{
	pfk__soon_cancel(c->loop, &c->soon);
	pfk_timer_cancel(&c->timeout);
	pfk_timer_cancel(&c->next);
	if (c->lookup_io.active) {
		pfk__io_stop(&c->lookup_io);
		pfk__lookup_end(&c->lookup);
	}
	for (int i = 0; i < c->started; i++) {
		if (!c->attempts[i].pending)
			continue;
		pfk__io_stop(&c->attempts[i].io);
		close(c->attempts[i].io.fd);
	}
	free(c);
}

static void
fail(struct pfk_connector *c, int error)
{
	void (*failed)(void *, int, const char *) = c->failed;
	char causes[PFK_CAUSES_SIZE];
	void *arg = c->arg;

	strlcpy(causes, c->causes, sizeof(causes));
	release(c);
	failed(arg, error, causes);
}

static void
add_cause(struct pfk_connector *c, const char *what, const char *why)
{
	size_t n = strlen(c->causes);

	snprintf(c->causes + n, sizeof(c->causes) - n, "%s%s: %s",
	    n > 0 ? "; " : "", what, why);
}

static bool
any_pending(const struct pfk_connector *c)
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
	struct pfk_connector *c = a->connector;
	char name[PFK_ADDR_SIZE];

	if (c->error == 0)
		c->error = error;
	add_cause(c, pfk_addr_format(name, &a->addr), strerror(error));
	pfk_timer_cancel(&c->next);
	if (c->started < c->n)
		pfk__soon_add(c->loop, &c->soon, start_next, c);
	else if (!any_pending(c))
		fail(c, c->error);
}

static void
succeed(struct attempt *a)
{
	struct pfk_connector *c = a->connector;
	struct pfk_transport *tr;
	int fd = a->io.fd;
	void *arg;

	a->pending = false;
	pfk__io_stop(&a->io);
	tr = pfk__client_new(c->loop, fd, &a->addr, c->proto,
	    c->sockopts.quickack == 1);
	if (tr == NULL) {
		close(fd);
		fail(c, errno);
		return;
	}
	arg = c->arg;
	release(c);
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
	if (error == 0) {
		succeed(a);
		return;
	}
	a->pending = false;
	pfk__io_stop(&a->io);
	close(a->io.fd);
	attempt_failed(a, error);
}

/* Many sources may share a port: only the four-tuple must be unique. */
static int
bind_source(int fd, const struct pfk_addr *source)
{
	int on = 1;

	if (pfk_addr_port(source) == 0)
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on,
		    sizeof(on));
	return bind(fd, &source->sa, source->len);
}

static int
open_attempt(struct attempt *a)
{
	const struct pfk_connector *c = a->connector;
	const char *failed;
	int fd, saved_errno;

	fd = socket(a->addr.sa.sa_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (pfk__sockopts_set(fd, PFK_TCP, &c->sockopts, &failed) == -1 ||
	    (c->source.len > 0 && bind_source(fd, &c->source) == -1) ||
	    (connect(fd, &a->addr.sa, a->addr.len) == -1 &&
		errno != EINPROGRESS) ||
	    pfk__io_start(c->loop, &a->io, fd, PFK_WRITE, on_attempt, a) ==
		-1) {
		saved_errno = errno;
		close(fd);
		errno = saved_errno;
		return -1;
	}
	return 0;
}

static void
on_next(void *arg)
{
	struct pfk_connector *c = arg;

	c->next = NULL;
	start_next(c);
}

static void
start_next(void *arg)
{
	struct pfk_connector *c = arg;
	struct attempt *a = &c->attempts[c->started++];

	a->connector = c;
	if (open_attempt(a) == -1) {
		attempt_failed(a, errno);
		return;
	}
	a->pending = true;
	if (c->started < c->n)
		c->next = pfk_later(c->loop, ATTEMPT_DELAY_NS, on_next, c);
}

/* RFC 8305, section 4: the families take turns. */
static void
interleave(struct pfk_connector *c)
{
	for (int i = 1; i + 1 < c->n; i++) {
		int before = c->attempts[i - 1].addr.sa.sa_family, k = i;
		struct pfk_addr other;

		while (k < c->n && c->attempts[k].addr.sa.sa_family == before)
			k++;
		if (k == c->n)
			return;
		other = c->attempts[k].addr;
		for (; k > i; k--)
			c->attempts[k].addr = c->attempts[k - 1].addr;
		c->attempts[i].addr = other;
	}
}

static void
on_lookup(void *arg, unsigned ready)
{
	struct pfk_connector *c = arg;
	const char *errstr = "no address";
	struct pfk_addr addr;
	int rc = pfk__lookup_next(&c->lookup, &addr, &errstr);

	(void)ready;
	if (rc == 1) {
		if (c->n < ADDRESSES_MAX &&
		    (c->source.len == 0 ||
			c->source.sa.sa_family == addr.sa.sa_family))
			c->attempts[c->n++].addr = addr;
		return;
	}
	pfk__io_stop(&c->lookup_io);
	pfk__lookup_end(&c->lookup);
	if (c->n == 0) {
		add_cause(c, "look-up", errstr);
		fail(c, PFK_ENOHOST);
		return;
	}
	interleave(c);
	start_next(c);
}

static void
on_timeout(void *arg)
{
	struct pfk_connector *c = arg;

	c->timeout = NULL;
	for (int i = 0; i < c->started; i++) {
		char name[PFK_ADDR_SIZE];

		if (c->attempts[i].pending)
			add_cause(c,
			    pfk_addr_format(name, &c->attempts[i].addr),
			    strerror(ETIMEDOUT));
	}
	if (c->causes[0] == '\0')
		add_cause(c, "look-up", strerror(ETIMEDOUT));
	fail(c, ETIMEDOUT);
}

static int
start(struct pfk_connector *c, const struct pfk_connect_options *o)
{
	if (o->timeout_ns > 0) {
		c->timeout = pfk_later(c->loop, o->timeout_ns, on_timeout, c);
		if (c->timeout == NULL)
			return -1;
	}
	if (pfk_addr_parse(&c->attempts[0].addr, o->host, o->port) == 0 &&
	    (o->family == AF_UNSPEC ||
		o->family == c->attempts[0].addr.sa.sa_family)) {
		c->n = 1;
		pfk__soon_add(c->loop, &c->soon, start_next, c);
		return 0;
	}
	if (pfk__lookup_start(&c->lookup, o->host, o->port, o->family) == -1)
		return -1;
	if (pfk__io_start(c->loop, &c->lookup_io, c->lookup.fd, PFK_READ,
		on_lookup, c) == 0)
		return 0;
	pfk__lookup_end(&c->lookup);
	return -1;
}

struct pfk_connector *
pfk_connect(struct pfk_loop *l, const struct pfk_connect_options *o,
    const struct pfk_protocol *proto, void *arg,
    void (*failed)(void *arg, int error, const char *causes))
{
	struct pfk_connector *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->loop = l;
	c->proto = proto;
	c->arg = arg;
	c->failed = failed;
	pfk_sockopts_init(&c->sockopts);
	if (o->sockopts != NULL)
		c->sockopts = *o->sockopts;
	if (o->source != NULL)
		c->source = *o->source;
	if (start(c, o) == -1) {
		release(c);
		return NULL;
	}
	return c;
}

void
pfk_connect_cancel(struct pfk_connector **c)
{
	if (*c != NULL)
		release(*c);
	*c = NULL;
}
