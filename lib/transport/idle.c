/*
 * idle.c: connections without traffic, which their server closes.
 *
 * Layer: transport.  The server's list is in the order of their last activity,
 * so that one timer is enough for all.
 */
#include "transport/server.h"

/* In the record too, because a successor of this process goes on counting. */
static void
set_active(struct pfk_transport *tr, uint64_t ns)
{
	struct pfk__record *r = pfk__record(tr->io.loop->ledger, tr->io.fd);

	tr->active_ns = ns;
	if (r != NULL)
		r->stream.active_ns = ns;
}

static void
on_idle(void *arg)
{
	struct pfk_server *s = arg;
	uint64_t now = pfk_loop_now(s->loop);
	struct pfk_transport *tr, *next;

	TAILQ_FOREACH_SAFE(tr, &s->transports, link, next) {
		if (tr->active_ns + s->idle_ns + s->slack_ns > now)
			break;
		tr->idled = true;
		/* Twice idle: it does not even take our FIN or our data. */
		if (pfk_is_closing(tr) || pfk_write_buffered(tr) > 0)
			pfk_abort(tr);
		else
			pfk_close(tr);
		set_active(tr, now);
		TAILQ_REMOVE(&s->transports, tr, link);
		TAILQ_INSERT_TAIL(&s->transports, tr, link);
	}
	pfk__server_watch_idle(s);
}

void
pfk__server_watch_idle(struct pfk_server *s)
{
	const struct pfk_transport *tr = TAILQ_FIRST(&s->transports);
	uint64_t now = pfk_loop_now(s->loop), due;

	if (s->idle_ns == 0 || s->idle != NULL || tr == NULL)
		return;
	due = tr->active_ns + s->idle_ns + s->slack_ns;
	pfk_timer_set(&s->idle, s->loop, due > now ? due - now : 0, on_idle, s);
}

void
pfk__server_touch(struct pfk_server *s, struct pfk_transport *tr)
{
	uint64_t now = s->loop->now;

	/* Exact to the slack only, so that a busy one rarely moves. */
	if (now - tr->active_ns < s->slack_ns || s->idle_ns == 0)
		return;
	set_active(tr, now);
	TAILQ_REMOVE(&s->transports, tr, link);
	TAILQ_INSERT_TAIL(&s->transports, tr, link);
}

uint64_t
pfk__server_idle_ns(const struct pfk_server *s, const struct pfk_transport *tr)
{
	/* Without a timeout active_ns is that of its accept(2). */
	return s->idle_ns > 0 ? pfk_loop_now(s->loop) - tr->active_ns : 0;
}

void
pfk__server_backdate(struct pfk_server *s, struct pfk_transport *tr,
    uint64_t idle_ns)
{
	uint64_t now = pfk_loop_now(s->loop);
	struct pfk_transport *before;

	if (s->idle_ns == 0)
		return;
	set_active(tr, idle_ns < now ? now - idle_ns : 0);
	TAILQ_REMOVE(&s->transports, tr, link);
	before = TAILQ_LAST(&s->transports, pfk__transports);
	while (before != NULL && before->active_ns > tr->active_ns)
		before = TAILQ_PREV(before, pfk__transports, link);
	if (before != NULL) {
		TAILQ_INSERT_AFTER(&s->transports, before, tr, link);
		return;
	}
	TAILQ_INSERT_HEAD(&s->transports, tr, link);
	/* The timer is for a later one. */
	pfk_timer_cancel(&s->idle);
	pfk__server_watch_idle(s);
}
