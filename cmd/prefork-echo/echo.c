/*
 * echo.c: the service: RFC 862 over TCP and UDP.
 *
 * A worker has one `struct echo`; a connection needs no state of its own, so
 * its transport is its self.
 */
#include "echo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "guard.h"

/* Listeners, channel, log, poller, pipes and so on: not for connections. */
#define RESERVED_FDS 64

static struct echo {
	const struct config *config;
	struct pfk_loop *loop;
	struct pfk_limits *limits;
	struct pfk_server **servers;
	struct pfk_datagram **datagrams;
	uint16_t *own_ports;
	size_t n;
	struct guard *guard; /* or NULL: all datagrams are answered */
} the_echo;

/* tcp */

static const struct pfk_protocol tcp_echo, tcp_echo_once;

static void *
tcp_made(struct pfk_transport *tr, void *arg)
{
	char name[PFK_ADDR_SIZE];

	(void)arg;
	if (pfk_log_wants(PFK_DEBUG))
		pfk_log(PFK_DEBUG, "connected from %s",
		    pfk_addr_python(name, pfk_peername(tr)));
	/* The bytes of one read may be unsent, but no more. */
	pfk_set_write_limits(tr, 0, 0);
	return tr;
}

/* The library echoes, unless each recv and sent is to be logged. */
static void
join(struct pfk_transport *tr)
{
	if (!pfk_log_wants(PFK_DEBUG))
		pfk_join(tr, tr);
}

/* The connection's block is one byte: whether it ends after one echo. */
static void
note_once(struct pfk_transport *tr)
{
	char *once = pfk_block(tr);

	if (once != NULL)
		*once = 1;
}

static void *
tcp_made_once(struct pfk_transport *tr, void *arg)
{
	note_once(tr);
	return tcp_made(tr, arg);
}

static void *
tcp_made_joined(struct pfk_transport *tr, void *arg)
{
	join(tr);
	return tcp_made(tr, arg);
}

/*
 * An echo's state is its listener's kind when it connected: one byte with
 * --once.  A reload that changes --once does not change it for open
 * connections.
 */
static ssize_t
tcp_hand_over(void *self, void *buf, size_t room)
{
	(void)self;
	(void)buf;
	(void)room;
	return 0;
}

static ssize_t
tcp_hand_over_once(void *self, void *buf, size_t room)
{
	(void)self;
	if (room < 1)
		return -1;
	memset(buf, 1, 1);
	return 1;
}

static void *
tcp_resumed(struct pfk_transport *tr, void *arg, const void *buf, size_t len)
{
	bool once = len > 0 && *(const char *)buf != 0;

	(void)arg;
	pfk_set_protocol(tr, once ? &tcp_echo_once : &tcp_echo);
	if (once)
		note_once(tr);
	else
		join(tr);
	return tr;
}

static void
log_echo(const void *buf, size_t len)
{
	char quoted[PFK_QUOTE_SIZE];

	pfk_quote(quoted, buf, len);
	pfk_log(PFK_DEBUG, "recv: %s", quoted);
	pfk_log(PFK_DEBUG, "sent: %s", quoted);
}

static void
tcp_received(void *self, const void *buf, size_t len)
{
	if (pfk_write(self, buf, len) == 0 && pfk_log_wants(PFK_DEBUG))
		log_echo(buf, len);
}

static void
tcp_received_once(void *self, const void *buf, size_t len)
{
	tcp_received(self, buf, len);
	pfk_close(self);
}

static void
tcp_pause(void *self)
{
	pfk_pause_reading(self);
}

static void
tcp_resume(void *self)
{
	pfk_resume_reading(self);
}

static void
tcp_lost(void *self, int error)
{
	char name[PFK_ADDR_SIZE];

	if (!pfk_log_wants(PFK_DEBUG))
		return;
	pfk_addr_python(name, pfk_peername(self));
	if (error == PFK_HANDED_OVER)
		pfk_log(PFK_DEBUG, "handed over %s", name);
	else if (error == 0)
		pfk_log(PFK_DEBUG, "disconnected from %s", name);
	else
		pfk_log(PFK_DEBUG, "lost %s: %s", name, strerror(error));
}

static const struct pfk_protocol tcp_echo = {
    .connection_made = tcp_made_joined,
    .data_received = tcp_received,
    .pause_writing = tcp_pause,
    .resume_writing = tcp_resume,
    .connection_lost = tcp_lost,
    .hand_over = tcp_hand_over,
    .connection_resumed = tcp_resumed,
    .survives = true,
    .block_bytes = 1,
};

static const struct pfk_protocol tcp_echo_once = {
    .connection_made = tcp_made_once,
    .data_received = tcp_received_once,
    .pause_writing = tcp_pause,
    .resume_writing = tcp_resume,
    .connection_lost = tcp_lost,
    .hand_over = tcp_hand_over_once,
    .connection_resumed = tcp_resumed,
    .survives = true,
    .block_bytes = 1,
};

/* udp */

static void
udp_received(void *self, const struct pfk_packet *p)
{
	struct echo *e = &the_echo;
	char name[PFK_ADDR_SIZE];

	if (e->guard != NULL && guard_refuses(e->guard, p))
		return;
	pfk_sendto(self, p->buf, p->len, p->from, p->unicast ? p->to : NULL);
	if (pfk_log_wants(PFK_DEBUG)) {
		pfk_log(PFK_DEBUG, "datagram from %s",
		    pfk_addr_python(name, p->from));
		log_echo(p->buf, p->len);
	}
}

static void
udp_error(void *self, int error)
{
	(void)self;
	pfk_log(PFK_DEBUG, "datagram error: %s", strerror(error));
}

static void *
udp_made(struct pfk_datagram *d, void *arg)
{
	(void)arg;
	return d;
}

static const struct pfk_datagram_protocol udp_echo = {
    .survives = true,
    .connection_made = udp_made,
    .datagram_received = udp_received,
    .error_received = udp_error,
};

/* the worker */

static size_t
max_connections(const struct config *c)
{
	struct rlimit r = {.rlim_cur = 1024};
	size_t reserved = RESERVED_FDS + c->n_endpoints;

	if (c->max_connections > 0)
		return (size_t)c->max_connections;
	getrlimit(RLIMIT_NOFILE, &r);
	return r.rlim_cur > reserved ? r.rlim_cur - reserved : 1;
}

static void
log_clamped(void *arg, const char *name, int asked, int in_force,
    const char *sysctl)
{
	const struct endpoint *e = arg;

	if (in_force == PFK_UNSET) {
		pfk_log(PFK_WARNING,
		    "%s: %s: asked for %d, but the socket's protocol lacks the "
		    "option; is it Multipath TCP?",
		    e->listen.kind == PFK_TCP ? "tcp" : "udp", name, asked);
		return;
	}
	pfk_log(PFK_WARNING, "%s: %s: asked for %d, in force %d%s%s",
	    e->listen.kind == PFK_TCP ? "tcp" : "udp", name, asked, in_force,
	    sysctl != NULL ? "; raise " : "", sysctl != NULL ? sysctl : "");
}

/* Own ports first: the loop guard must know all of them. */
static void
note_port(struct echo *e, int fd, size_t i)
{
	struct pfk_addr a = {.len = sizeof(a.in6)};

	if (getsockname(fd, &a.sa, &a.len) == 0)
		e->own_ports[i] = pfk_addr_port(&a);
}

static int
serve(struct echo *e, size_t i, int fd)
{
	const struct endpoint *ep = &e->config->endpoints[i];
	struct pfk_server_options o = {.limits = e->limits,
	    .idle_ns = e->config->idle_ns,
	    .quickack = e->config->quickack,
	    .nagle = !e->config->nodelay};

	if (ep->listen.kind == PFK_UDP) {
		e->datagrams[i] = pfk_datagram_open(e->loop, fd, &udp_echo, e);
		return e->datagrams[i] != NULL ? 0 : -1;
	}
	e->servers[i] = pfk_serve(e->loop, fd,
	    ep->once ? &tcp_echo_once : &tcp_echo, e, &o);
	return e->servers[i] != NULL ? 0 : -1;
}

static int
open_endpoints(struct echo *e, struct pfk_worker *w)
{
	struct pfk_listen *want = calloc(e->n, sizeof(*want));
	int *fds = calloc(e->n, sizeof(*fds)), rc = -1;

	if (want == NULL || fds == NULL)
		goto out;
	for (size_t i = 0; i < e->n; i++)
		want[i] = e->config->endpoints[i].listen;
	if (pfk_worker_listen(w, want, e->n, fds) == -1)
		goto out;
	for (size_t i = 0; i < e->n; i++) {
		struct endpoint *ep = &e->config->endpoints[i];

		if (fds[i] == -1)
			continue;
		note_port(e, fds[i], i);
		/* All workers have the same: one says it. */
		if (pfk_worker_slot(w) == 0)
			pfk_sockopts_report(fds[i], ep->listen.options,
			    log_clamped, ep);
		if (serve(e, i, fds[i]) == -1)
			goto out;
	}
	rc = 0;
out:
	free(want);
	free(fds);
	return rc;
}

static int
need_guard(struct echo *e)
{
	const struct config *c = e->config;
	struct guard_options o = {.loops = c->loop_guard,
	    .per_source = c->udp_per_source,
	    .per_network = c->udp_per_network,
	    .own = e->own_ports,
	    .n_own = e->n};

	if (!o.loops && o.per_source == 0)
		return 0;
	e->guard = guard_new(e->loop, &o);
	return e->guard != NULL ? 0 : -1;
}

int
echo_worker_init(struct pfk_worker *w, const struct config *c)
{
	struct echo *e = &the_echo;

	e->config = c;
	e->n = c->n_endpoints;
	e->loop = pfk_worker_loop(w);
	pfk_loop_coalesce(e->loop, c->coalesce);
	e->servers = calloc(e->n, sizeof(struct pfk_server *));
	e->datagrams = calloc(e->n, sizeof(struct pfk_datagram *));
	e->own_ports = calloc(e->n, sizeof(*e->own_ports));
	e->limits = pfk_limits_new(e->loop, max_connections(c),
	    (size_t)c->max_per_source);
	if (e->servers == NULL || e->datagrams == NULL ||
	    e->own_ports == NULL || e->limits == NULL || need_guard(e) == -1 ||
	    open_endpoints(e, w) == -1)
		return pfk_worker_fail(w, EX_OSERR, "cannot serve: %s",
		    strerror(errno));
	if (c->user != NULL &&
	    pfk_drop_privileges(c->user_name, c->uid, c->gid) == -1)
		return pfk_worker_fail(w, EX_NOPERM,
		    "cannot become user '%s': %s", c->user, strerror(errno));
	return 0;
}

void
echo_worker_exit(void)
{
	struct echo *e = &the_echo;

	for (size_t i = 0; i < e->n; i++) {
		pfk_server_close(&e->servers[i]);
		pfk_datagram_close(&e->datagrams[i]);
	}
	pfk_limits_drop(&e->limits);
	guard_free(e->guard);
	free(e->servers);
	free(e->datagrams);
	free(e->own_ports);
}
