/*
 * server.c: accept connections and keep them.
 *
 * Layer: transport.
 */
#include "transport/server.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fds.h"
#include "base/misuse.h"
#include "net/addr.h"
#include "transport/acceptor.h"
#include "transport/handover.h"
#include "transport/kill.h"
#include "transport/list.h"
#include "transport/rebuild.h"
#include "transport/tx.h"

static void
enter(struct pfk_server *s, struct pfk_transport *tr)
{
	pfk__roster_enter(&s->roster, tr);
	s->roster.loop->stats->connections++;
}

static void
note_new(const struct pfk_server *s, const struct pfk_transport *tr,
    enum pfk__count count, enum pfk__happened kind)
{
	struct pfk_loop *l = s->roster.loop;

	l->stats->counts[count]++;
	pfk__record_peer(l->recorder, l->now, kind, tr->io.fd, &tr->peer);
}

/* Why it has ended. */
static enum pfk__count
cause_of(const struct pfk_transport *tr)
{
	if (tr->error == PFK_HANDED_OVER)
		return PFK__COUNT_HANDED_OVER;
	if (tr->idled)
		return PFK__COUNT_CLOSED_IDLE;
	if (tr->told_drain || tr->cut)
		return PFK__COUNT_CLOSED_DRAIN;
	if (tr->error != 0 && tr->error != ECONNABORTED)
		return PFK__COUNT_CLOSED_ERROR;
	return tr->ended || tr->error != 0 ? PFK__COUNT_CLOSED_ONCE
					   : PFK__COUNT_CLOSED_PEER;
}

static void
note_end(const struct pfk_server *s, const struct pfk_transport *tr)
{
	struct pfk_loop *l = s->roster.loop;
	enum pfk__count cause = cause_of(tr);

	l->stats->counts[cause]++;
	l->stats->connections--;
	pfk__record_detail(l->recorder, l->now, PFK__HAPPENED_CLOSE, tr->io.fd,
	    cause);
}

struct pfk_transport *
pfk__server_add(struct pfk_server *s, int fd, const struct pfk_addr *peer)
{
	struct pfk_transport *tr;
	int saved_errno;

	if (pfk__limits_admit(s->limits, peer) == -1)
		return NULL;
	tr = pfk__tcp_new(&s->roster, fd, peer);
	if (tr == NULL) {
		saved_errno = errno;
		pfk__limits_release(s->limits, peer);
		errno = saved_errno;
		return NULL;
	}
	tr->active_ns = pfk_loop_now(s->roster.loop);
	enter(s, tr);
	note_new(s, tr, PFK__COUNT_ACCEPTED, PFK__HAPPENED_ACCEPT);
	return tr;
}

struct pfk_transport *
pfk__server_take(struct pfk_server *s, int fd, const struct pfk_addr *peer)
{
	struct pfk_transport *tr = pfk__tcp_new(&s->roster, fd, peer);

	if (tr == NULL)
		return NULL;
	pfk__limits_readmit(s->limits, peer);
	tr->active_ns = pfk_loop_now(s->roster.loop);
	enter(s, tr);
	note_new(s, tr, PFK__COUNT_RESUMED, PFK__HAPPENED_TAKE);
	return tr;
}

struct pfk_transport *
pfk__server_rebuild(struct pfk_server *s, int fd, struct pfk__record *r)
{
	struct pfk_transport *tr = pfk__tcp_rebuild(&s->roster, fd, r);

	if (tr == NULL)
		return NULL;
	pfk__limits_readmit(s->limits, &tr->peer);
	enter(s, tr);
	return tr;
}

static void
shut(struct pfk_server *s)
{
	struct pfk__acceptor *a;

	if (!s->open)
		return;
	s->open = false;
	pfk__limits_unwait(s->limits, &s->waiter);
	while ((a = LIST_FIRST(&s->acceptors)) != NULL)
		pfk__acceptor_close(a);
}

void
pfk__server_shut(struct pfk_server *s, enum pfk_drain how)
{
	/*
	 * Perhaps no other worker will serve the clients that have connected.
	 */
	if (how != PFK_DRAIN_NOW)
		pfk__acceptors_flush(s);
	shut(s);
}

void
pfk__server_release(struct pfk_server *s)
{
	assert(s->roster.count == 0 && !s->open && LIST_EMPTY(&s->acceptors));
	if (s->handle)
		return;
	pfk__limits_drop(&s->limits);
	if (s->release != NULL)
		s->release(s->roster.arg);
	free(s);
}

void
pfk__server_forget(struct pfk_server *s, const struct pfk_transport *tr)
{
	note_end(s, tr);
	pfk__limits_release(s->limits, &tr->peer);
}

/* all servers of a loop */

struct pfk_server *
pfk__server_next(const struct pfk_loop *l, const struct pfk_server *s)
{
	const struct pfk__roster *r = pfk__roster_next(l,
	    s == NULL ? NULL : &s->roster);

	while (r != NULL && r->server == NULL)
		r = pfk__roster_next(l, r);
	return r == NULL ? NULL : r->server;
}

struct pfk_server *
pfk__server_find(const struct pfk_loop *l, const struct pfk_addr *local)
{
	struct pfk_server *s = NULL;

	while ((s = pfk__server_next(l, s)) != NULL) {
		if (s->open && pfk__addr_same(&s->local, local))
			return s;
	}
	return NULL;
}

struct pfk_server *
pfk__server_of(const struct pfk_loop *l, int listener)
{
	struct pfk_server *s = NULL;

	while ((s = pfk__server_next(l, s)) != NULL) {
		if (s->listener == listener)
			return s;
	}
	return NULL;
}

/* the handle */

static const struct pfk__serving serving = {.adopt = pfk__acceptor_adopt,
    .release = pfk__acceptors_release,
    .give = pfk__handover_give,
    .take = pfk__handover_take,
    .list = pfk__tcp_list,
    .kill = pfk__tcp_kill,
    .check = pfk__tcp_check_all,
    .rebuild = pfk__rebuild_streams};

/* All servers of a loop have blocks of one size: that of the first one. */
static int
reserve_blocks(const char *call, struct pfk__ledger *g,
    const struct pfk_protocol *proto)
{
	uint32_t bytes = (uint32_t)(proto->block_bytes + 63) / 64 * 64;

	if (proto->block_bytes > PFK_BLOCK_MAX)
		return pfk__misuse(EINVAL,
		    "%s: block_bytes is %zu; it is %d at most", call,
		    proto->block_bytes, PFK_BLOCK_MAX);
	if (g->head->block_bytes != 0 && bytes > g->head->block_bytes)
		return pfk__misuse(EINVAL,
		    "%s: block_bytes is %zu, and the loop's first server has "
		    "blocks of %u",
		    call, proto->block_bytes, g->head->block_bytes);
	if (g->head->block_bytes == 0)
		g->head->block_bytes = bytes;
	return 0;
}

/* Connections inherit it: tcp(7). */
static void
set_nodelay(int listener, int on)
{
	setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

struct pfk_server *
pfk__serve(const char *call, struct pfk_loop *l, int fd,
    const struct pfk_protocol *proto, void *arg,
    const struct pfk_server_options *options)
{
	const struct pfk__record *r = pfk__record(l->ledger, fd);
	bool left = r != NULL && r->entry == PFK__ENTRY_LEFT;
	struct pfk_server *s;

	if (pfk__protocol_check(call, proto) == -1 ||
	    (!left && pfk__listener_check(call, l, fd) == -1))
		return NULL;
	if (pfk__may_accept() == -1) {
		pfk_warn("cannot accept connections: accept4(2)");
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->limits = pfk__limits_hold(l);
	if (s->limits == NULL)
		goto err1;
	s->listener = fd;
	if (proto->survives && reserve_blocks(call, l->ledger, proto) == -1)
		goto err2;
	s->roster.loop = l;
	LIST_INIT(&s->acceptors);
	if (!left && pfk__acceptor_open(s, fd, PFK__OWN) == -1)
		goto err2;
	s->roster.proto = proto;
	s->roster.arg = arg;
	s->waiter.resume = pfk__acceptors_resume;
	s->open = !left;
	s->handle = true;
	if (options != NULL) {
		s->roster.idle_ns = options->idle_ns;
		s->roster.slack_ns = options->idle_ns / 16;
		s->roster.quickack = options->quickack;
	}
	s->local.len = sizeof(s->local.in6);
	if (left) {
		s->local = r->listener.bound;
	} else {
		getsockname(fd, &s->local.sa, &s->local.len);
		if (s->local.sa.sa_family == AF_UNIX)
			pfk__addr_of_unix(&s->local, fd);
		set_nodelay(fd, options == NULL || !options->nagle);
	}
	pfk__roster_init(&s->roster, l, s);
	l->serving[PFK_TCP] = &serving;
	l->tx_end = pfk__tx_end;
	return s;
err2:
	pfk__limits_drop(&s->limits);
err1:
	free(s);
	return NULL;
}

struct pfk_server *
pfk_serve(struct pfk_loop *l, int fd, const struct pfk_protocol *proto,
    void *arg, const struct pfk_server_options *options)
{
	return pfk__serve("pfk_serve", l, fd, proto, arg, options);
}

void
pfk_server_close(struct pfk_server **sp)
{
	struct pfk_server *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	shut(s);
	s->handle = false;
	pfk__roster_end_if_done(&s->roster);
}

size_t
pfk_server_connections(const struct pfk_server *s)
{
	return s->roster.count;
}

size_t
pfk_loop_connections(const struct pfk_loop *l)
{
	return l->stats->connections;
}

struct pfk_server *
pfk_transport_server(const struct pfk_transport *tr)
{
	return tr->roster->server;
}

void
pfk_server_set_user(struct pfk_server *s, void *user,
    void (*destroy)(void *user))
{
	pfk__user_set(&s->user, user, destroy);
}

void *
pfk_server_user(const struct pfk_server *s)
{
	return s->user.user;
}
