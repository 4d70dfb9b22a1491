/*
 * deadline.c: end connections that have not received or sent in time.
 *
 * Layer: transport.
 */
#include "transport/deadline.h"

#include <errno.h>
#include <stdlib.h>

#include "transport/cork.h"
#include "transport/join.h"

/* While another process may take the connection, it is neither's to end. */
#define GIVEN_NS (100 * PFK_MSEC_NS)

static void on_timer(void *arg);

static void
note(const struct pfk_transport *tr)
{
	struct pfk__record *r = pfk__record(tr->io.loop->ledger, tr->io.fd);

	if (r == NULL)
		return;
	r->stream.read_by_ns = tr->deadlines->read_ns;
	r->stream.write_by_ns = 0;
	pfk__in_order();
	r->stream.write_to = tr->deadlines->write_to;
	pfk__in_order();
	r->stream.write_by_ns = tr->deadlines->write_ns;
}

/* Let the timer come at due_ns, if it would come later or not at all. */
static int
arm(struct pfk_transport *tr, uint64_t due_ns)
{
	struct pfk__deadlines *d = tr->deadlines;
	uint64_t now = tr->io.loop->now;

	if (d->timer != NULL && d->fires_ns <= due_ns)
		return 0;
	if (pfk_timer_set(&d->timer, tr->io.loop,
		due_ns > now ? due_ns - now : 0, on_timer, tr) == -1)
		return -1;
	d->fires_ns = due_ns;
	return 0;
}

static bool
is_late(const struct pfk_transport *tr, uint64_t now)
{
	const struct pfk__deadlines *d = tr->deadlines;

	if (d->write_ns != 0 && d->write_ns <= now && tr->sent < d->write_to)
		return true;
	/* A closing one has a time of its own, and reads to discard. */
	return d->read_ns != 0 && d->read_ns <= now &&
	    tr->state == PFK__TCP_OPEN;
}

static void
on_timer(void *arg)
{
	struct pfk_transport *tr = arg;
	struct pfk__deadlines *d = tr->deadlines;
	uint64_t now = tr->io.loop->now;

	if (tr->state == PFK__TCP_GIVEN) {
		arm(tr, now + GIVEN_NS);
		return;
	}
	if (is_late(tr, now)) {
		tr->idled = true;
		pfk__tcp_lose(tr, ETIMEDOUT);
		return;
	}
	if (d->write_ns > now && tr->sent < d->write_to)
		arm(tr, d->write_ns);
	if (d->read_ns > now)
		arm(tr, d->read_ns);
}

static struct pfk__deadlines *
need(struct pfk_transport *tr)
{
	if (tr->deadlines == NULL)
		tr->deadlines = calloc(1, sizeof(*tr->deadlines));
	return tr->deadlines;
}

/* 0 is none, and a time that no clock reaches is the latest. */
static uint64_t
time_of(const struct pfk_loop *l, uint64_t ns)
{
	if (ns == 0)
		return 0;
	return ns < UINT64_MAX - l->now ? l->now + ns : UINT64_MAX;
}

int
pfk_set_read_deadline(struct pfk_transport *tr, uint64_t ns)
{
	if (tr->state == PFK__TCP_LOST || (ns == 0 && tr->deadlines == NULL))
		return 0;
	if (need(tr) == NULL)
		return -1;
	if (ns != 0 && arm(tr, time_of(tr->io.loop, ns)) == -1)
		return -1;
	tr->deadlines->read_ns = time_of(tr->io.loop, ns);
	note(tr);
	return 0;
}

int
pfk_set_write_deadline(struct pfk_transport *tr, uint64_t ns)
{
	if (tr->state == PFK__TCP_LOST || (ns == 0 && tr->deadlines == NULL))
		return 0;
	if (need(tr) == NULL)
		return -1;
	if (ns != 0 && arm(tr, time_of(tr->io.loop, ns)) == -1)
		return -1;
	tr->deadlines->write_ns = time_of(tr->io.loop, ns);
	tr->deadlines->write_to = tr->sent + pfk_write_buffered(tr);
	note(tr);
	return 0;
}

void
pfk__deadlines_restore(struct pfk_transport *tr, const struct pfk__record *r)
{
	struct pfk__deadlines *d;

	if (r->stream.read_by_ns == 0 && r->stream.write_by_ns == 0)
		return;
	d = need(tr);
	if (d == NULL)
		return;
	d->read_ns = r->stream.read_by_ns;
	d->write_ns = r->stream.write_by_ns;
	d->write_to = r->stream.write_to;
	if (d->read_ns != 0)
		arm(tr, d->read_ns);
	if (d->write_ns != 0)
		arm(tr, d->write_ns);
}

void
pfk__deadlines_cancel(struct pfk_transport *tr)
{
	if (tr->deadlines != NULL)
		pfk_timer_cancel(&tr->deadlines->timer);
}

void
pfk__deadlines_free(struct pfk_transport *tr)
{
	free(tr->deadlines);
}
