/*
 * resume.c: a successor goes on where its predecessor has died.
 *
 * Layer: process.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/received.h"
#include "event/loop.h"
#include "process/worker.h"

struct sweep {
	int channel;
	int accepted; /* a connection that was not recorded, or -1 */
};

static bool
are_same(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 &&
	    sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

static void
found(void *arg, int fd)
{
	struct sweep *s = arg;
	int type = 0;
	socklen_t len = sizeof(type);
	struct pfk_addr peer = {.len = sizeof(peer.in6)};

	/* Both, if the predecessor died as it replaced the channel (orphan.c). */
	if (are_same(fd, s->channel))
		close(fd);
	else if (s->accepted == -1 &&
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	    type == SOCK_STREAM && getpeername(fd, &peer.sa, &peer.len) == 0 &&
	    peer.sa.sa_family != AF_UNIX)
		s->accepted = fd;
	else
		pfk__close_received(fd);
}

int
pfk__worker_sweep(struct pfk_worker *w)
{
	struct sweep s = {.channel = w->channel, .accepted = -1};

	if (w->ledger == NULL || !w->ledger->resumed)
		return -1;
	w->ledger->head->serving = -1;
	pfk__ledger_sweep(w->ledger, found, &s);
	if (s.accepted != -1 && w->ledger->head->accepting == -1) {
		close(s.accepted);
		s.accepted = -1;
	}
	return s.accepted;
}

/* The predecessor's connections that this worker does not go on with. */
static void
count_lost(const struct pfk_worker *w)
{
	struct pfk__stats *s = w->loop->stats;

	if (w->lost > s->connections)
		s->counts[PFK__COUNT_CLOSED_ERROR] += w->lost - s->connections;
	pfk__record_event(w->loop->recorder, w->loop->now,
	    PFK__HAPPENED_REBUILT, -1, s->connections);
}

int
pfk__worker_resume(struct pfk_worker *w, int accepted)
{
	const struct pfk__serving *const *serving = w->loop->serving;
	struct pfk__ledger *g = w->ledger;

	if (g == NULL)
		return 0;
	if (g->resumed && serving[PFK_UDP] != NULL)
		serving[PFK_UDP]->rebuild(w->loop, -1, -1);
	if (g->resumed && serving[PFK_TCP] != NULL) {
		if (serving[PFK_TCP]->rebuild(w->loop, accepted,
			g->head->accepting) == -1)
			return pfk_worker_fail(w, EX_OSERR,
			    "cannot rebuild the connections: %s",
			    strerror(errno));
	} else if (accepted != -1) {
		close(accepted);
	}
	g->head->at_fault = 0;
	g->head->rebuilt = 1;
	if (g->resumed)
		count_lost(w);
	/* The master's order may come later, or never. */
	if (g->resumed && pfk__ledger_has_left(g))
		pfk__worker_drain(w, PFK_DRAIN_LEAVE, 0);
	return 0;
}
