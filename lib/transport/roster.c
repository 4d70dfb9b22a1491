/*
 * roster.c: the connections of a server, or one that the program has opened: those
 * without traffic are closed, and all drain with the loop.
 *
 * Layer: transport.  The list is in the order of their last activity, so that one
 * timer is enough for all.
 */
#include "transport/roster.h"

#include <assert.h>
#include <stdlib.h>

#include "transport/server.h"

/* A stop notifies its connections in at most SPREAD_STEPS steps of AT_ONCE or more. */
#define AT_ONCE 64
#define SPREAD_STEPS 100

/* those without traffic */

/* In the record too, because a successor of this process goes on counting. */
static void
set_active(struct pfk_transport *tr, uint64_t ns)
{
	struct pfk__record *record = pfk__record(tr->io.loop->ledger,
	    tr->io.fd);

	tr->active_ns = ns;
	if (record != NULL)
		record->stream.active_ns = ns;
}

static void watch_idle(struct pfk__roster *r);

static void
on_idle(void *arg)
{
	struct pfk__roster *r = arg;
	uint64_t now = pfk_loop_now(r->loop);
	struct pfk_transport *tr, *next;

	TAILQ_FOREACH_SAFE(tr, &r->transports, link, next) {
		if (tr->active_ns + r->idle_ns + r->slack_ns > now)
			break;
		tr->idled = true;
		/* Twice idle: it does not even take our FIN or our data. */
		if (pfk_is_closing(tr) || pfk_write_buffered(tr) > 0)
			pfk_abort(tr);
		else
			pfk_close(tr);
		set_active(tr, now);
		TAILQ_REMOVE(&r->transports, tr, link);
		TAILQ_INSERT_TAIL(&r->transports, tr, link);
	}
	watch_idle(r);
}

static void
watch_idle(struct pfk__roster *r)
{
	const struct pfk_transport *tr = TAILQ_FIRST(&r->transports);
	uint64_t now = pfk_loop_now(r->loop), due;

	if (r->idle_ns == 0 || r->idle != NULL || tr == NULL)
		return;
	due = tr->active_ns + r->idle_ns + r->slack_ns;
	pfk_timer_set(&r->idle, r->loop, due > now ? due - now : 0, on_idle, r);
}

void
pfk__roster_touch(struct pfk_transport *tr)
{
	struct pfk__roster *r = tr->roster;
	uint64_t now = r->loop->now;

	/* Exact to the slack only, so that a busy one rarely moves. */
	if (now - tr->active_ns < r->slack_ns || r->idle_ns == 0)
		return;
	set_active(tr, now);
	TAILQ_REMOVE(&r->transports, tr, link);
	TAILQ_INSERT_TAIL(&r->transports, tr, link);
}

uint64_t
pfk__roster_idle_ns(const struct pfk_transport *tr)
{
	const struct pfk__roster *r = tr->roster;

	/* Without a timeout active_ns is that of its accept(2). */
	return r->idle_ns > 0 ? pfk_loop_now(r->loop) - tr->active_ns : 0;
}

void
pfk__roster_backdate(struct pfk_transport *tr, uint64_t idle_ns)
{
	struct pfk__roster *r = tr->roster;
	uint64_t now = pfk_loop_now(r->loop);
	struct pfk_transport *before;

	if (r->idle_ns == 0)
		return;
	set_active(tr, idle_ns < now ? now - idle_ns : 0);
	TAILQ_REMOVE(&r->transports, tr, link);
	before = TAILQ_LAST(&r->transports, pfk__transports);
	while (before != NULL && before->active_ns > tr->active_ns)
		before = TAILQ_PREV(before, pfk__transports, link);
	if (before != NULL) {
		TAILQ_INSERT_AFTER(&r->transports, before, tr, link);
		return;
	}
	TAILQ_INSERT_HEAD(&r->transports, tr, link);
	/* The timer is for a later one. */
	pfk_timer_cancel(&r->idle);
	watch_idle(r);
}

/* the end of all */

/*
 * Tell some connections that the end is near, and the others in a moment: if all
 * were told at once, all would come back at once.
 */
static void
tell_some(void *arg)
{
	struct pfk__roster *r = arg;
	struct pfk_transport *tr, *next;
	size_t n = 0;

	TAILQ_FOREACH_SAFE(tr, &r->transports, link, next) {
		if (tr->told_drain || tr->state != PFK__TCP_OPEN)
			continue;
		if (n++ == r->at_once) {
			/* Without memory for a timer, notify all at once. */
			if (pfk_timer_set(&r->spread, r->loop,
				r->loop->spread_ns / SPREAD_STEPS, tell_some,
				r) == 0)
				return;
		}
		pfk__tcp_drain(tr);
	}
}

static void
drain(struct pfk__member *m, enum pfk_drain how)
{
	struct pfk__roster *r = (struct pfk__roster *)m;
	struct pfk_transport *tr, *next;

	if (r->server != NULL)
		pfk__server_shut(r->server, how);
	if (how == PFK_DRAIN_STOP) {
		r->at_once = r->count / SPREAD_STEPS + 1;
		if (r->at_once < AT_ONCE)
			r->at_once = AT_ONCE;
		tell_some(r);
	}
	TAILQ_FOREACH_SAFE(tr, &r->transports, link, next) {
		if (how == PFK_DRAIN_NOW)
			pfk__tcp_end(tr);
	}
	pfk__roster_end_if_done(r);
}

void
pfk__roster_end_if_done(struct pfk__roster *r)
{
	struct pfk_server *s = r->server;

	if (r->count > 0 || (s != NULL && s->open))
		return;
	if (r->is_member) {
		pfk_timer_cancel(&r->idle);
		pfk_timer_cancel(&r->spread);
		pfk__member_remove(r->loop, &r->member);
		r->is_member = false;
		if (s != NULL)
			pfk__user_end(&s->user);
	}
	if (s != NULL)
		pfk__server_release(s);
	else
		free(r);
}

/* its transports */

void
pfk__roster_init(struct pfk__roster *r, struct pfk_loop *l,
    struct pfk_server *s)
{
	r->loop = l;
	r->server = s;
	TAILQ_INIT(&r->transports);
	pfk__member_add(l, &r->member, drain);
	r->is_member = true;
}

void
pfk__roster_enter(struct pfk__roster *r, struct pfk_transport *tr)
{
	TAILQ_INSERT_TAIL(&r->transports, tr, link);
	r->count++;
	watch_idle(r);
}

void
pfk__roster_leave(struct pfk_transport *tr)
{
	struct pfk__roster *r = tr->roster;

	assert(r->count > 0);
	TAILQ_REMOVE(&r->transports, tr, link);
	r->count--;
	if (r->server != NULL)
		pfk__server_forget(r->server, tr);
	pfk__roster_end_if_done(r);
}

struct pfk_transport *
pfk__roster_of_one(struct pfk_loop *l, int fd, const struct pfk_addr *peer,
    const struct pfk_protocol *proto, bool quickack)
{
	struct pfk__roster *r = calloc(1, sizeof(*r));
	struct pfk_transport *tr;

	if (r == NULL)
		return NULL;
	r->loop = l;
	r->proto = proto;
	r->quickack = quickack;
	tr = pfk__tcp_new(r, fd, peer);
	if (tr == NULL) {
		free(r);
		return NULL;
	}
	tr->active_ns = pfk_loop_now(l);
	pfk__roster_init(r, l, NULL);
	pfk__roster_enter(r, tr);
	if (l->clients_light)
		pfk__member_lighten(l, &r->member);
	return tr;
}

/* all rosters of a loop */

struct pfk__roster *
pfk__roster_next(const struct pfk_loop *l, const struct pfk__roster *r)
{
	const struct pfk__member *m = r == NULL ? LIST_FIRST(&l->members)
						: LIST_NEXT(&r->member, link);

	while (m != NULL && m->drain != drain)
		m = LIST_NEXT(m, link);
	return (struct pfk__roster *)(uintptr_t)m;
}

void
pfk__roster_check(const struct pfk__roster *r)
{
	const struct pfk_transport *tr;
	size_t n = 0;

	/* 1: those that are given are in the giver's list. */
	TAILQ_FOREACH(tr, &r->transports, link) {
		assert(tr->roster == r);
		n++;
	}
	assert(n <= r->count);
	/* 2 */
	assert(r->is_member);
	/* 3 */
	assert(r->server != NULL ? &r->server->roster == r : r->count == 1);
}
