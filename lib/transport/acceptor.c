/*
 * acceptor.c: one listening socket of a server.
 *
 * Layer: transport.
 */
#include "transport/acceptor.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fds.h"
#include "base/received.h"
#include "net/addr.h"
#include "net/listener.h"
#include "transport/server.h"

#define ACCEPT_BATCH 64 /* then others get their turn */
#define FLUSH_MAX 4096  /* of the queue that a leaving one still serves */

static void
count_refused(const struct pfk_loop *l)
{
	l->stats->counts[PFK__COUNT_ACCEPTED]++;
	l->stats->counts[PFK__COUNT_CLOSED_LIMIT]++;
}

static void
add_connection(struct pfk_server *s, int fd, const struct pfk_addr *peer)
{
	struct pfk_transport *tr;
	char name[PFK_ADDR_SIZE];
	int on = 1;

	/* AF_UNIX does not inherit it: urgent data would be lost to recv(2). */
	if (peer->sa.sa_family == AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	tr = pfk__server_add(s, fd, peer);
	if (tr != NULL) {
		pfk__tcp_begin(tr, s->roster.arg);
		return;
	}
	count_refused(s->roster.loop);
	pfk__limits_complain(s->limits, "refused %s: %s",
	    pfk_addr_format(name, peer),
	    errno == EDQUOT ? "max-per-source" : strerror(errno));
	pfk__never_linger(fd);
	close(fd);
}

void
pfk__acceptor_add(struct pfk_server *s, int fd)
{
	struct pfk_addr peer = {.len = sizeof(peer.in6)};

	if (getpeername(fd, &peer.sa, &peer.len) == -1) {
		close(fd);
		return;
	}
	pfk__addr_clip(&peer);
	add_connection(s, fd, &peer);
}

static void
watch_all(struct pfk_server *s, bool wanted)
{
	struct pfk__acceptor *a;

	LIST_FOREACH(a, &s->acceptors, link)
		pfk__io_want(&a->io, wanted ? a->want : 0);
}

/* accept(2) failed: false means to try the next one. */
static bool
stop_accepting(struct pfk__acceptor *a, int error)
{
	struct pfk_server *s = a->server;

	switch (error) {
	case EAGAIN:
		return true;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		pfk__limits_complain(s->limits,
		    "cannot accept: %s; dropped one waiting connection, retrying "
		    "in 100 ms",
		    strerror(error));
		pfk__limits_shed(s->limits, a->io.fd);
		break;
	case EINVAL:
		/* Broken for good; the others are not. */
		pfk__limits_complain(s->limits,
		    "cannot accept: the listener was shut down, by ss -K or "
		    "shutdown(2); only another one can serve its address");
		pfk__io_want(&a->io, 0);
		return true;
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case EPERM:
	case ENETDOWN:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
		return false; /* accept(2): errors of that connection */
	default:
		pfk__limits_complain(s->limits, "cannot accept: %s; pausing",
		    strerror(error));
	}
	watch_all(s, false);
	pfk__limits_wait_briefly(s->limits, &s->waiter);
	return true;
}

/* Accept up to max, until the queue is empty or accepting pauses. */
static void
accept_some(struct pfk__acceptor *a, int max)
{
	struct pfk_server *s = a->server;

	assert(s->open && s->limits != NULL);
	/* Another process that has it may have cleared the flag. */
	fcntl(a->io.fd, F_SETFL, O_NONBLOCK);
	while (max-- > 0) {
		struct pfk_addr peer = {.len = sizeof(peer.in6)};
		int fd;

		if (!pfk__limits_have_room(s->limits)) {
			pfk__limits_complain(s->limits,
			    "max-connections reached: more will wait");
			watch_all(s, false);
			pfk__limits_wait(s->limits, &s->waiter);
			return;
		}
		/* Until it has a record, this names its server. */
		s->roster.loop->ledger->head->accepting = s->listener;
		pfk__in_order();
		fd = pfk__accept(a->io.fd, &peer.sa, &peer.len,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd == -1) {
			if (stop_accepting(a, errno))
				return;
			continue;
		}
		pfk__addr_clip(&peer);
		s->roster.loop->work += PFK__WORK_UNIT;
		add_connection(s, fd, &peer);
		s->roster.loop->ledger->head->accepting = -1;
		/* The protocol may have closed the server, and us with it. */
		if (!s->open)
			return;
	}
}

/*
 * How many wait, of those that are for one turn.  An accept4(2) too many costs
 * more than one that finds somebody: socket and file are made first.
 */
static int
waiting(int fd)
{
	struct tcp_info info;
	/* Of a listener: the length of its accept queue. */
	socklen_t len = offsetof(struct tcp_info, tcpi_sacked);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == -1 ||
	    info.tcpi_unacked > ACCEPT_BATCH)
		return ACCEPT_BATCH;
	/* None: it is not that which made it ready; accept4 tells. */
	return info.tcpi_unacked > 0 ? (int)info.tcpi_unacked : 1;
}

static void
on_ready(void *arg, unsigned ready)
{
	struct pfk__acceptor *a = arg;

	(void)ready;
	if (a->io.want == 0) {
		/* The back-end does not watch it. */
		stop_accepting(a, errno);
		return;
	}
	accept_some(a, waiting(a->io.fd));
}

void
pfk__acceptors_resume(struct pfk__waiter *w)
{
	watch_all((struct pfk_server *)((char *)w -
		      offsetof(struct pfk_server, waiter)),
	    true);
}

void
pfk__acceptors_flush(struct pfk_server *s)
{
	struct pfk__acceptor *a, *next;

	LIST_FOREACH_SAFE(a, &s->acceptors, link, next) {
		accept_some(a, FLUSH_MAX);
		/* A callback may have closed the server, and all of these. */
		if (!s->open)
			return;
	}
}

int
pfk__acceptor_open(struct pfk_server *s, int fd, int owner)
{
	struct pfk__acceptor *a = calloc(1, sizeof(*a));
	struct pfk__record *r = pfk__record(s->roster.loop->ledger, fd);
	bool known = r != NULL && r->entry == PFK__ENTRY_LISTENER;
	int (*start)(struct pfk_loop *, struct pfk_io *, int, unsigned,
	    void (*)(void *, unsigned), void *) = known ? pfk__io_resume
							: pfk__io_start;

	if (a == NULL)
		return -1;
	a->want = PFK_READ;
	/* It was opened before the workers, so that they all have it. */
	if (!known && owner == PFK__OWN && s->roster.loop->yields)
		a->want |= PFK__FOR_ONE;
	if (start(s->roster.loop, &a->io, fd, a->want, on_ready, a) == -1) {
		free(a);
		return -1;
	}
	if (r != NULL && owner != PFK__OWN) {
		r->owner = owner;
		pfk__ledger_note(s->roster.loop->ledger, fd,
		    PFK__ENTRY_LISTENER);
	}
	a->server = s;
	a->owner = owner;
	LIST_INSERT_HEAD(&s->acceptors, a, link);
	if (s->waiter.waiting)
		pfk__io_want(&a->io, 0);
	return 0;
}

void
pfk__acceptor_close(struct pfk__acceptor *a)
{
	LIST_REMOVE(a, link);
	pfk__io_stop(&a->io);
	/* Its owner can have made a connection of it. */
	if (a->owner != PFK__OWN)
		pfk__never_linger(a->io.fd);
	if (a->owner == PFK__OWN &&
	    a->server->roster.member.drained != PFK__NO_DRAIN)
		pfk__ledger_leave(a->server->roster.loop->ledger, a->io.fd);
	else
		pfk__ledger_end(a->server->roster.loop->ledger, a->io.fd);
	free(a);
}

int
pfk__acceptor_adopt(struct pfk_loop *l, int fd, int owner)
{
	struct pfk_addr local = {.len = sizeof(local.in6)};
	struct pfk_server *s;

	pfk__listener_reclaim(fd);
	if (getsockname(fd, &local.sa, &local.len) == -1)
		return -1;
	s = pfk__server_find(l, &local);
	if (s == NULL) {
		errno = ENOENT;
		return -1;
	}
	return pfk__acceptor_open(s, fd, owner);
}

void
pfk__acceptors_release(struct pfk_loop *l, int owner)
{
	struct pfk__acceptor *a, *next;
	struct pfk_server *s = NULL;

	while ((s = pfk__server_next(l, s)) != NULL) {
		LIST_FOREACH_SAFE(a, &s->acceptors, link, next) {
			if (a->owner != owner)
				continue;
			/* Perhaps it is closed for good. */
			if (s->open)
				accept_some(a, FLUSH_MAX);
			/* A callback may have closed the server, and this. */
			if (!s->open)
				break;
			pfk__acceptor_close(a);
		}
	}
}
