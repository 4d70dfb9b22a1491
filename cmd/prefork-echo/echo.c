/*
 * echo.c: the service: RFC 862 over TCP and UDP.
 *
 * A connection needs no state of its own, so its transport is its self.
 */
#include "echo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "../shared/quote.h"
#include "guard.h"

static struct guard *guard; /* or NULL: all datagrams are answered */
static uint16_t *own_ports;

/* tcp */

static const struct pfk_protocol tcp_echo, tcp_echo_once;

static void *
tcp_made(struct pfk_transport *tr, void *arg)
{
	char name[PFK_ADDR_SIZE];

	(void)arg;
	if (pfk_log_wants(PFK_DEBUG))
		pfk_log(PFK_DEBUG, "connected from %s",
		    quote_addr(name, pfk_peername(tr)));
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
		return PFK_NEVER;
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
	char quoted[QUOTE_SIZE];

	quote_bytes(quoted, buf, len);
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
	quote_addr(name, pfk_peername(self));
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
	char name[PFK_ADDR_SIZE];

	if (guard != NULL && guard_refuses(guard, p))
		return;
	pfk_sendto(self, p->buf, p->len, p->from, p->unicast ? p->to : NULL);
	if (pfk_log_wants(PFK_DEBUG)) {
		pfk_log(PFK_DEBUG, "datagram from %s",
		    quote_addr(name, p->from));
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

const struct pfk_service echo_services[] = {
    [ECHO_UNTIL_END] = {.tcp = &tcp_echo, .udp = &udp_echo},
    [ECHO_ONCE] = {.name = "once", .tcp = &tcp_echo_once, .udp = &udp_echo},
    {0},
};

int
echo_worker_init(struct pfk_worker *w, const struct pfk_setup *s)
{
	const struct echo_config *c = s->config;
	struct guard_options o = {.loops = c->loop_guard,
	    .per_source = c->udp_per_source,
	    .per_network = c->udp_per_network,
	    .n_own = s->n_endpoints};

	if (!o.loops && o.per_source == 0)
		return 0;
	o.own = own_ports = calloc(o.n_own, sizeof(*own_ports));
	for (size_t i = 0; own_ports != NULL && i < o.n_own; i++)
		own_ports[i] = pfk_addr_port(&s->endpoints[i].listen.addr);
	if (own_ports != NULL)
		guard = guard_new(pfk_worker_loop(w), &o);
	if (guard == NULL)
		return pfk_worker_fail(w, EX_OSERR, "cannot serve: %s",
		    strerror(errno));
	return 0;
}

void
echo_worker_exit(struct pfk_worker *w, const struct pfk_setup *s)
{
	(void)w;
	(void)s;
	guard_free(guard);
	free(own_ports);
}
