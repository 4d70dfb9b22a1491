/*
 * tcp.c: a flow over TCP: one connection for all messages, or one for each.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "message.h"

#define RETRY_NS (10 * PFK_MSEC_NS)

static void start_connecting(struct flow *f);
static void on_retry(void *arg);

/* Whether each message has a connection of its own. */
static bool
single(const struct flow *f)
{
	return f->check->o.once || f->check->o.connect;
}

/* The connection that was used is over: not at once, and the next. */
static void
reconnect_later(struct flow *f)
{
	if (flow_goes_on(f) && f->retry == NULL)
		check_timer(&f->retry, f->check->loop, RETRY_NS, on_retry, f);
}

static void
send_messages(struct flow *f)
{
	const struct check *c = f->check;

	/* The one of a single connection was noted when it was due. */
	while (!f->full && !single(f) && flow_may_send(f)) {
		flow_sending(f);
		if (pfk_write(f->tr, c->buf, (size_t)c->o.size) == -1)
			return;
		f->full = pfk_write_buffered(f->tr) > 0;
	}
}

static void *
connection_made(struct pfk_transport *tr, void *arg)
{
	struct flow *f = arg;
	struct check *c = f->check;

	f->connector = NULL;
	f->tr = tr;
	f->part_len = 0;
	f->full = f->ended = false;
	c->reached = true;
	check_set_peer(c, pfk_peername(tr));
	pfk_set_write_limits(tr, 0, 0);
	if (single(f)) {
		message_make(c->buf, (size_t)c->o.size, f->id, f->next - 1);
		pfk_write(tr, c->buf, (size_t)c->o.size);
	} else {
		send_messages(f);
	}
	return f;
}

static void
resume_writing(void *self)
{
	struct flow *f = self;

	f->full = false;
	send_messages(f);
}

/* One message has come whole. */
static void
have_message(struct flow *f, const void *buf)
{
	struct check *c = f->check;
	uint64_t bad = c->stats.faults[FAULT_MISMATCH];

	flow_received(f, buf, (size_t)c->o.size);
	if (c->stats.faults[FAULT_MISMATCH] != bad) {
		/* Nothing after it can be told apart. */
		flow_lost(f, FAULT_MISMATCH);
		pfk_abort(f->tr);
	}
}

/*
 * Add to the received part of a message.  With --once the end is part of the
 * answer, which is whole only then.
 */
static void
add_part(struct flow *f, const unsigned char *p, size_t n)
{
	size_t size = (size_t)f->check->o.size;

	if (f->part_len == 0 && n == size && !f->check->o.once) {
		have_message(f, p);
		return;
	}
	memcpy(f->part + f->part_len, p, n);
	f->part_len += n;
	if (f->part_len == size && !f->check->o.once) {
		f->part_len = 0;
		have_message(f, f->part);
	}
}

/* A connection for one message has brought it, and then this. */
static void
have_surplus(struct flow *f, const void *buf, size_t len)
{
	if (f->waiting > 0)
		have_message(f, f->part);
	f->part_len = 0;
	if (pfk_is_closing(f->tr))
		return;
	flow_surplus(f, buf, len);
	pfk_close(f->tr);
}

static void
data_received(void *self, const void *buf, size_t len)
{
	struct flow *f = self;
	size_t size = (size_t)f->check->o.size;
	const unsigned char *p = buf;

	while (len > 0 && !pfk_is_closing(f->tr)) {
		size_t n = size - f->part_len < len ? size - f->part_len : len;

		if (n == 0 || (single(f) && f->waiting == 0)) {
			have_surplus(f, p, len);
			return;
		}
		add_part(f, p, n);
		p += n;
		len -= n;
	}
	if (pfk_is_closing(f->tr))
		return;
	if (f->check->o.connect && f->waiting == 0)
		pfk_close(f->tr);
	else
		send_messages(f);
}

/*
 * The connection ends while no message is on the way.  If it brought all
 * messages of its flow, that is no fault.
 */
static void
idle_end(struct flow *f, enum fault kind)
{
	if (single(f) || flow_goes_on(f))
		flow_count(f, kind);
}

static bool
eof_received(void *self)
{
	struct flow *f = self;

	f->ended = true;
	if (f->part_len == (size_t)f->check->o.size)
		have_message(f, f->part);
	else if (f->waiting == 0 && f->part_len > 0)
		flow_surplus(f, f->part, f->part_len);
	else if (f->waiting == 0 && !single(f))
		idle_end(f, FAULT_SHORT);
	flow_lost(f, FAULT_SHORT);
	return false;
}

static void
connection_lost(void *self, int error)
{
	struct flow *f = self;

	f->tr = NULL;
	if (error != 0 && error != ECONNABORTED && f->waiting == 0 && !f->ended)
		idle_end(f, fault_of(error));
	flow_lost(f, fault_of(error));
	if (single(f))
		tcp_pump(f);
	else
		reconnect_later(f);
}

static const struct pfk_protocol protocol = {
    .connection_made = connection_made,
    .data_received = data_received,
    .eof_received = eof_received,
    .resume_writing = resume_writing,
    .connection_lost = connection_lost,
};

static void
on_retry(void *arg)
{
	tcp_pump(arg);
}

static void
failed(void *arg, int error, const char *causes)
{
	struct flow *f = arg;
	struct check *c = f->check;

	f->connector = NULL;
	if (!c->reached) {
		check_give_up(c, error, causes);
		return;
	}
	if (f->waiting > 0)
		flow_lost(f, fault_of(error));
	else
		flow_count(f, fault_of(error));
	reconnect_later(f);
}

static void
start_connecting(struct flow *f)
{
	struct check *c = f->check;
	struct pfk_addr source;
	struct pfk_connect_options o = {.host = c->peer[0] != '\0' ? c->peer
								   : c->o.host,
	    .port = (uint16_t)c->o.port,
	    .family = c->o.ipv4 ? AF_INET
		: c->o.ipv6     ? AF_INET6
				: AF_UNSPEC,
	    .source = flow_source(f, &source),
	    .timeout_ns = c->o.timeout_ns};

	if (single(f))
		flow_sending(f);
	f->connector = pfk_connect(c->loop, &o, &protocol, f, failed);
	if (f->connector == NULL)
		failed(f, errno, strerror(errno));
}

void
tcp_pump(struct flow *f)
{
	if (f->tr != NULL) {
		if (!pfk_is_closing(f->tr))
			send_messages(f);
		return;
	}
	if (f->connector != NULL || f->retry != NULL || !flow_goes_on(f) ||
	    !check_may_connect(f))
		return;
	if (!single(f) || flow_may_send(f))
		start_connecting(f);
}

/* Answers that come now would be taken for others. */
void
tcp_stalled(struct flow *f)
{
	flow_lost(f, FAULT_TIMEOUT);
	if (f->tr != NULL)
		pfk_abort(f->tr);
}

void
tcp_close(struct flow *f)
{
	pfk_timer_cancel(&f->retry);
	pfk_connect_cancel(&f->connector);
	if (f->tr != NULL)
		pfk_close(f->tr);
}
