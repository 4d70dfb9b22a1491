/*
 * flow.c: a flow's messages: sent, come back, or lost.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "message.h"

static struct number *
number(const struct flow *f, uint64_t n)
{
	return &f->numbers[n % f->check->window];
}

bool
flow_may_send(const struct flow *f)
{
	const struct check *c = f->check;

	if (!c->sending)
		return false;
	if (c->o.rate > 0)
		return f->owed > 0 && f->waiting < c->window / 2 &&
		    f->next - f->oldest < c->window / 2;
	return f->waiting < (unsigned)c->o.pipeline;
}

/* Open loop: message n of flow i is number n * flows + i of all. */
static uint64_t
due_ns(const struct flow *f, uint64_t n)
{
	const struct check *c = f->check;
	uint64_t all = n * (uint64_t)c->o.connections + f->id;

	if (c->o.rate == 0)
		return pfk_loop_now(c->loop);
	return c->start_ns + all / (uint64_t)c->o.rate * PFK_SECOND_NS +
	    all % (uint64_t)c->o.rate * PFK_SECOND_NS / (uint64_t)c->o.rate;
}

void
flow_sending(struct flow *f)
{
	struct check *c = f->check;

	*number(f, f->next) = (struct number){.state = MESSAGE_WAITING,
	    .due_ns = due_ns(f, f->next),
	    .sent_ns = pfk_loop_now(c->loop)};
	message_make(c->buf, (size_t)c->o.size, f->id, f->next);
	f->next++;
	f->waiting++;
	if (f->owed > 0)
		f->owed--;
	c->stats.sent++;
}

static void
over(struct flow *f, uint64_t n)
{
	number(f, n)->state = MESSAGE_OVER;
	f->waiting--;
	while (f->oldest < f->next &&
	    number(f, f->oldest)->state != MESSAGE_WAITING)
		f->oldest++;
}

void
flow_count(struct flow *f, enum loss kind)
{
	f->check->stats.lost[kind]++;
}

void
flow_received(struct flow *f, const void *buf, size_t len)
{
	struct check *c = f->check;
	uint64_t n, now = pfk_loop_now(c->loop);
	const struct number *m;

	c->reached = true;
	if (!message_check(buf, len, f->id, &n) || n >= f->next) {
		/* Whichever it was: one of those that wait is spoilt. */
		flow_count(f, LOSS_MISMATCH);
		if (f->waiting > 0)
			over(f, f->oldest);
		return;
	}
	m = number(f, n);
	if (n + c->window < f->next || m->state != MESSAGE_WAITING) {
		flow_count(f, LOSS_DUPLICATE);
		return;
	}
	if (len != (size_t)c->o.size) {
		flow_count(f, LOSS_SHORT);
		over(f, n);
		return;
	}
	if (n < f->newest)
		flow_count(f, LOSS_REORDERED);
	else
		f->newest = n + 1;
	stats_echoed(&c->stats, len, now > m->due_ns ? now - m->due_ns : 0);
	over(f, n);
}

void
flow_lost(struct flow *f, enum loss kind)
{
	while (f->waiting > 0) {
		flow_count(f, kind);
		over(f, f->oldest);
	}
}

bool
flow_expire(struct flow *f, uint64_t now)
{
	uint64_t timeout = f->check->o.timeout_ns;
	bool any = false;

	while (
	    f->waiting > 0 && now - number(f, f->oldest)->sent_ns > timeout) {
		flow_count(f, LOSS_TIMEOUT);
		over(f, f->oldest);
		any = true;
	}
	return any;
}

/* 127.0.0.0/8 has room: a source has only 28,000 ports. */
const struct pfk_addr *
flow_source(struct flow *f, struct pfk_addr *a)
{
	struct check *c = f->check;
	uint32_t k;

	if (c->o.sources <= 1)
		return NULL;
	k = (uint32_t)((f->next * (uint64_t)c->o.connections + f->id) %
	    (uint64_t)c->o.sources);
	pfk_addr_parse(a, "127.0.0.1", 0);
	a->in4.sin_addr.s_addr = htonl(
	    INADDR_LOOPBACK + (k / 250 << 8) + k % 250);
	return a;
}
