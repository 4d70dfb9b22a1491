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

	if (f->next - f->oldest >= c->window / 2)
		return false;
	/* Messages that were due before the end are sent after it, too. */
	if (c->o.rate > 0)
		return f->owed > 0;
	return c->sending && f->waiting < (unsigned)c->o.pipeline;
}

bool
flow_goes_on(const struct flow *f)
{
	return f->check->sending || f->owed > 0;
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

/* The next message takes the place of an older one. */
static void
keep_unanswered(struct flow *f)
{
	const struct number *old = number(f, f->next);

	if (old->state == MESSAGE_UNANSWERED)
		f->unanswered[f->n_unanswered++ % UNANSWERED_KEPT] =
		    (struct unanswered){f->next - f->check->window, old->loss};
}

void
flow_sending(struct flow *f)
{
	struct check *c = f->check;

	keep_unanswered(f);
	*number(f, f->next) = (struct number){.state = MESSAGE_WAITING,
	    .due_ns = due_ns(f, f->next),
	    .sent_ns = pfk_loop_now(c->loop)};
	message_make(c->buf, (size_t)c->o.size, f->id, f->next);
	f->next++;
	f->waiting++;
	if (f->owed > 0)
		f->owed--;
	c->stats.sent++;
	if (!c->sending)
		c->end_ns = pfk_loop_now(c->loop);
}

static void
over(struct flow *f, uint64_t n, enum message_state state)
{
	number(f, n)->state = state;
	f->waiting--;
	while (f->oldest < f->next &&
	    number(f, f->oldest)->state != MESSAGE_WAITING)
		f->oldest++;
}

void
flow_count(struct flow *f, enum fault kind)
{
	struct check *c = f->check;

	c->stats.faults[kind]++;
	if (c->o.plot && kind < LOSSES)
		plot_lost(&c->plot, pfk_loop_now(c->loop) - c->start_ns);
}

/* Message n, which waits, will not be answered. */
static void
unanswered(struct flow *f, uint64_t n, enum fault kind)
{
	flow_count(f, kind);
	number(f, n)->loss = kind;
	over(f, n, MESSAGE_UNANSWERED);
}

/* Message n, as far as it is known: NULL for one of long ago or never. */
static struct number *
find(const struct flow *f, uint64_t n)
{
	if (n >= f->next || f->next - n > f->check->window)
		return NULL;
	return number(f, n);
}

/* One of those that wait, of the ones before the given number. */
static void
spoil_oldest(struct flow *f, uint64_t before)
{
	if (f->waiting == 0 || f->oldest >= before)
		return;
	number(f, f->oldest)->before = before;
	over(f, f->oldest, MESSAGE_SPOILT);
}

static void
spoil(struct flow *f, uint64_t n)
{
	const struct number *m = find(f, n);

	if (m != NULL && m->state == MESSAGE_WAITING)
		over(f, n, MESSAGE_LOST);
	else
		spoil_oldest(f, f->next);
}

/* Message n, which waits, has come: len bytes of it. */
static void
echoed(struct flow *f, uint64_t n, size_t len)
{
	struct check *c = f->check;
	uint64_t due = number(f, n)->due_ns, now = pfk_loop_now(c->loop);

	if (len != (size_t)c->o.size) {
		flow_count(f, FAULT_SHORT);
		over(f, n, MESSAGE_LOST);
		return;
	}
	if (n < f->newest)
		flow_count(f, FAULT_REORDERED);
	else
		f->newest = n + 1;
	stats_echoed(&c->stats, len, now > due ? now - due : 0);
	if (c->o.plot)
		plot_echoed(&c->plot, now - c->start_ns,
		    now > due ? now - due : 0);
	over(f, n, MESSAGE_ECHOED);
}

/* The answer is there after all, so that the message is no loss. */
static void
late(struct flow *f, enum fault loss)
{
	f->check->stats.faults[loss]--;
	flow_count(f, FAULT_LATE);
}

/* Message n has come, of which the window knows nothing any more. */
static void
long_ago(struct flow *f, uint64_t n)
{
	unsigned kept = f->n_unanswered < UNANSWERED_KEPT ? f->n_unanswered
							  : UNANSWERED_KEPT;

	for (unsigned i = 0; i < kept; i++) {
		struct unanswered *u = &f->unanswered[i];

		if (u->number == n && u->loss != FAULTS) {
			late(f, u->loss);
			u->loss = FAULTS;
			return;
		}
	}
	flow_count(f, FAULT_DUPLICATE);
}

void
flow_received(struct flow *f, const void *buf, size_t len)
{
	uint64_t n;
	bool good = message_check(buf, len, f->id, &n) &&
	    len <= (size_t)f->check->o.size;
	struct number *m = find(f, n);

	f->check->reached = true;
	if (!good || n >= f->next) {
		flow_count(f, len < MESSAGE_MIN ? FAULT_SHORT : FAULT_MISMATCH);
		spoil(f, n);
	} else if (m == NULL) {
		long_ago(f, n);
	} else if (m->state == MESSAGE_ECHOED) {
		flow_count(f, FAULT_DUPLICATE);
	} else if (m->state == MESSAGE_UNANSWERED) {
		if (len == (size_t)f->check->o.size) {
			late(f, m->loss);
			m->state = MESSAGE_ECHOED;
		}
	} else if (m->state == MESSAGE_WAITING) {
		echoed(f, n, len);
	} else if (m->state == MESSAGE_SPOILT) {
		/* Then it was another one, or nobody's. */
		m->state = MESSAGE_WAITING;
		f->waiting++;
		if (n < f->oldest)
			f->oldest = n;
		echoed(f, n, len);
		spoil_oldest(f, m->before);
	}
}

void
flow_surplus(struct flow *f, const void *buf, size_t len)
{
	uint64_t n;

	flow_count(f,
	    message_check(buf, len, f->id, &n) && n < f->next ? FAULT_DUPLICATE
							      : FAULT_MISMATCH);
}

void
flow_forget(struct flow *f)
{
	while (f->waiting > 0) {
		over(f, f->oldest, MESSAGE_LOST);
		f->check->stats.sent--;
	}
}

void
flow_rewind(struct flow *f)
{
	struct check *c = f->check;

	c->stats.sent -= f->waiting;
	if (c->o.rate > 0)
		f->owed += f->waiting;
	f->next = f->oldest;
	f->waiting = 0;
}

void
flow_lost(struct flow *f, enum fault kind)
{
	while (f->waiting > 0)
		unanswered(f, f->oldest, kind);
}

bool
flow_expire(struct flow *f, uint64_t now)
{
	uint64_t timeout = f->check->o.timeout_ns;
	bool any = false;

	while (
	    f->waiting > 0 && now - number(f, f->oldest)->sent_ns > timeout) {
		unanswered(f, f->oldest, FAULT_TIMEOUT);
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
