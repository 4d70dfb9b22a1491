/*
 * rebuild.c: make a predecessor's connections anew from the ledger.
 *
 * Layer: transport.  tcp(7).  The kernel counts the bytes that a connection's
 * owner has read and written, and counts them exactly even when the owner was
 * killed inside the system call.  So the bytes that a dead process had read and
 * not yet sent on are those between the two counts, and they lie in the queue's
 * chunks, in a pipe, or in the scratch area.
 */
#include "transport/rebuild.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/received.h"
#include "transport/acceptor.h"
#include "transport/inventory.h"
#include "transport/join.h"
#include "transport/server.h"
#include "transport/tx.h"

struct work {
	struct pfk_loop *l;
	struct pfk__inventory chunks;
	int *fds; /* of the connections, longest idle first */
	struct pfk_transport **made; /* theirs, or NULL */
	size_t n;
	unsigned lost;
};

/* one connection */

/* The numbers that a hostile predecessor may have written. */
static bool
is_input_plausible(const struct pfk__version *v)
{
	bool framed = (v->flags & (PFK__FLAG_EXACTLY | PFK__FLAG_UNTIL)) != 0;

	return v->left <= v->in &&
	    v->left <= PFK_RECEIVE_MAX + PFK__READ_BYTES &&
	    (!framed || (v->want > 0 && v->want <= PFK_RECEIVE_MAX));
}

/* The bytes of a pipe that its record names; false: they cannot be had. */
static bool
take_pipe(struct pfk_transport *tr, struct pfk__record *r)
{
	struct pfk__pipe pipe = {.out = r->stream.pipe_out,
	    .in = r->stream.pipe_in};
	int n = 0;

	if (pipe.out <= STDERR_FILENO || pipe.in <= STDERR_FILENO)
		return true;
	if (ioctl(pipe.out, FIONREAD, &n) == -1 || n < 0)
		return false;
	return pfk__join_rebuild(tr, pipe, (size_t)n) == 0;
}

/*
 * Send on the bytes in hand: the predecessor had read them, and sent perhaps
 * some.  Those that it had read by then and not queued are the last ones.
 */
static bool
empty_hand(struct pfk_transport *tr, const struct pfk__hand *h)
{
	uint64_t n = h->len, at = tr->sent + pfk__unsent(tr);
	const char *buf = tr->io.loop->scratch;

	if (n == 0 && tr->received > h->received)
		n = tr->received - h->received;
	if (n > PFK__SCRATCH_BYTES || at < h->sent || at > h->sent + n)
		return false;
	at -= h->sent;
	if (pfk__tcp_send(tr, buf + at, (size_t)(n - at)) == -1)
		return false;
	/* The bytes without room are sent later, and nothing is read until then. */
	pfk__tcp_watch(tr);
	return true;
}

/* Give the bytes in hand to the protocol, as far as it has not had them. */
static bool
deliver_hand(struct pfk_transport *tr, const struct pfk__hand *h,
    uint64_t received)
{
	uint64_t n = h->len, at = tr->received - h->received;

	if (n == 0 && received > h->received)
		n = received - h->received;
	if (n > PFK__SCRATCH_BYTES || h->at > PFK__SCRATCH_BYTES - n ||
	    tr->received < h->received || at > n)
		return false;
	if (at == n)
		return true;
	tr->received += n - at;
	pfk__tcp_deliver(tr, (char *)tr->io.loop->scratch + h->at + at,
	    (size_t)(n - at));
	return true;
}

/* The predecessor died while it moved a pipe's bytes to the queue. */
static bool
end_spill(struct pfk_transport *tr, const struct pfk__hand *h)
{
	uint64_t moved = tr->sent - h->sent + pfk__unsent(tr);

	return moved <= h->received &&
	    pfk__outq_extend(&tr->out, tr->io.loop->ledger,
		(size_t)(h->received - moved));
}

/*
 * The kernel does not count the bytes of AF_UNIX, so that those in hand, and
 * output that was perhaps sent, cannot be told: then it ends.
 */
static bool
find_unix_place(struct pfk_transport *tr, struct pfk__record *r,
    struct pfk__inventory *chunks)
{
	const struct pfk__ledger *g = tr->io.loop->ledger;
	const struct pfk__version *v = pfk__version(g, r);

	if (g->head->hand.fd == tr->io.fd || !is_input_plausible(v) ||
	    pfk__inventory_has_output(chunks, tr))
		return false;
	tr->received = v->in;
	tr->sent = v->out;
	return pfk__inventory_input(chunks, tr, v) && take_pipe(tr, r) &&
	    pfk__unsent(tr) == 0;
}

/*
 * Where the connection stands.  Of one that is joined to itself the kernel knows
 * it; of another one its version does, so that output without a commit is
 * dropped, and input without one is delivered again.
 */
static bool
find_place(struct pfk_transport *tr, struct pfk__record *r,
    struct pfk__inventory *chunks)
{
	const struct pfk__hand *h = &tr->io.loop->ledger->head->hand;
	const struct pfk__version *v = pfk__version(tr->io.loop->ledger, r);
	bool joined = (v->flags & PFK__FLAG_ECHOES) != 0;
	bool spill = h->fd == tr->io.fd && h->len == PFK__HAND_SPILL;

	if (tr->peer.sa.sa_family == AF_UNIX)
		return find_unix_place(tr, r, chunks);
	if (pfk__tcp_counts(tr->io.fd, &tr->received, &tr->sent) == -1)
		return false;
	tr->received -= r->stream.received0;
	tr->sent -= r->stream.sent0;
	if (!is_input_plausible(v) ||
	    !pfk__inventory_output(chunks, tr, tr->sent) ||
	    !pfk__inventory_input(chunks, tr, v) || !take_pipe(tr, r))
		return false;
	if (spill && !end_spill(tr, h))
		return false;
	if (joined)
		return true;
	if (tr->out.len > 0 && tr->sent + pfk__unsent(tr) > v->out)
		pfk__outq_cut(&tr->out, tr->io.loop->ledger,
		    v->out > tr->sent ? (size_t)(v->out - tr->sent) : 0);
	tr->received = v->in;
	return true;
}

/* False: it cannot go on. */
static bool
rebuild(struct pfk_transport *tr, struct pfk__record *r,
    struct pfk__inventory *chunks)
{
	const struct pfk__ledger *g = tr->io.loop->ledger;
	const struct pfk__version *v = pfk__version(g, r);
	const struct pfk_protocol *proto = tr->roster->proto;
	uint16_t flags = v->flags;
	const void *block = proto->block_bytes > 0
	    ? pfk__block(g, tr->io.fd, v->block)
	    : NULL;

	if (!find_place(tr, r, chunks))
		return false;
	if ((flags & PFK__FLAG_MADE) == 0)
		return true; /* that is still to come */
	if (tr->state != PFK__TCP_CLOSING || block != NULL) {
		pfk__tx_begin(tr, PFK__TX_RESUMED);
		tr->self = proto->connection_resumed(tr, tr->roster->arg, block,
		    proto->block_bytes);
		pfk__tx_end(tr->io.loop);
		if (tr->self == NULL)
			return false;
	}
	if ((flags & PFK__FLAG_LOST) != 0)
		pfk__tcp_lose(tr, ECONNRESET);
	return true;
}

static void
end(const struct work *w, int fd)
{
	pfk__never_linger(fd);
	pfk__ledger_end(w->l->ledger, fd);
}

static void
lose(struct work *w, int fd, struct pfk_transport *tr)
{
	w->lost++;
	if (tr != NULL)
		pfk__tcp_end(tr);
	else
		end(w, fd);
}

static bool
can_go_on(const struct work *w, const struct pfk_server *s, int fd,
    uint16_t flags)
{
	const struct pfk__ledger_head *h = w->l->ledger->head;

	if (s == NULL || (fd == h->taking - 1 && h->verdict_to == 0))
		return false;
	return (flags & PFK__FLAG_CLOSING) != 0 ||
	    (s->roster.proto->survives &&
		s->roster.proto->connection_resumed != NULL);
}

/* Returns the transport, or NULL where it cannot go on. */
static struct pfk_transport *
rebuild_one(struct work *w, int fd)
{
	struct pfk__ledger *g = w->l->ledger;
	struct pfk__record *r = &g->records[fd];
	struct pfk_server *s = pfk__server_of(w->l, r->server);
	struct pfk_transport *tr;

	if (!can_go_on(w, s, fd, pfk__version(g, r)->flags)) {
		lose(w, fd, NULL);
		return NULL;
	}
	g->head->serving = fd;
	tr = pfk__server_rebuild(s, fd, r);
	if (tr == NULL || !rebuild(tr, r, &w->chunks)) {
		lose(w, fd, tr);
		return NULL;
	}
	pfk__tcp_go_on(tr);
	return tr;
}

/* Deal with the bytes in hand, once everybody is there to be written to. */
static void
finish_hand(struct work *w, struct pfk_transport *tr, bool joined)
{
	struct pfk__ledger *g = w->l->ledger;
	struct pfk__hand *h = &g->head->hand;
	uint64_t received = 0, sent;
	bool good;

	if (tr != NULL && tr->state == PFK__TCP_OPEN && tr->made &&
	    h->len != PFK__HAND_SPILL) {
		h->again++;
		pfk__in_order();
		g->head->serving = tr->io.fd;
		pfk__tcp_counts(tr->io.fd, &received, &sent);
		received -= g->records[tr->io.fd].stream.received0;
		good = joined ? empty_hand(tr, h)
			      : deliver_hand(tr, h, received);
		if (!good)
			lose(w, tr->io.fd, tr);
	}
	pfk__hand_empty(w->l);
}

/*
 * Nothing is read meanwhile, because the scratch area holds the bytes in hand.
 * So connections that were new come last.
 */
static void
rebuild_all(struct work *w)
{
	struct pfk__ledger *g = w->l->ledger;
	int hand = g->head->hand.fd;
	struct pfk_transport *tr, *held = NULL;
	bool joined = false;

	for (size_t i = 0; i < w->n; i++) {
		int fd = w->fds[i];

		joined = joined ||
		    (fd == hand &&
			(pfk__version(g, &g->records[fd])->flags &
			    PFK__FLAG_ECHOES) != 0);
		tr = rebuild_one(w, fd);
		w->made[i] = tr;
		if (fd == hand)
			held = tr;
	}
	finish_hand(w, held, joined);
	for (size_t i = 0; i < w->n; i++) {
		tr = w->made[i];
		if (tr != NULL && !tr->made && tr->state == PFK__TCP_OPEN)
			pfk__tcp_begin(tr, tr->roster->arg);
	}
}

/* all of them */

static int
compare_activity(const void *a, const void *b, void *arg)
{
	const struct pfk__record *records = arg;
	uint64_t x = records[*(const int *)a].stream.active_ns;
	uint64_t y = records[*(const int *)b].stream.active_ns;

	return (x > y) - (x < y);
}

/* A later transaction will have the number of the one that was under way. */
static void
forget_uncommitted(const struct pfk__ledger *g, struct pfk__record *r)
{
	struct pfk__version *v = r->stream.versions;

	for (int i = 0; i < 2; i++) {
		if (v[i].tx > g->head->committed)
			v[i].tx = PFK__NO_TX;
	}
}

/* Only its close was left to do. */
static bool
has_ended(const struct pfk__ledger *g, int fd)
{
	const struct pfk__version *v = pfk__version(g, &g->records[fd]);

	return (v->flags & PFK__FLAG_GONE) != 0;
}

static bool
collect_streams(struct work *w)
{
	const struct pfk__ledger *g = w->l->ledger;

	w->fds = calloc((size_t)g->head->top + 1, sizeof(*w->fds));
	w->made = calloc((size_t)g->head->top + 1,
	    sizeof(struct pfk_transport *));
	if (w->fds == NULL || w->made == NULL)
		return false;
	for (int fd = 0; fd <= g->head->top && fd < g->size; fd++) {
		if (g->records[fd].entry != PFK__ENTRY_STREAM)
			continue;
		forget_uncommitted(g, &g->records[fd]);
		if (has_ended(g, fd))
			end(w, fd);
		else
			w->fds[w->n++] = fd;
	}
	qsort_r(w->fds, w->n, sizeof(*w->fds), compare_activity, g->records);
	return true;
}

/* Listeners of other slots that the predecessor served too. */
static void
adopt_again(struct pfk_loop *l)
{
	const struct pfk__ledger *g = l->ledger;

	for (int fd = 0; fd <= g->head->top && fd < g->size; fd++) {
		const struct pfk__record *r = &g->records[fd];

		if (r->entry == PFK__ENTRY_LISTENER && r->owner >= 0 &&
		    pfk__acceptor_adopt(l, fd, r->owner) == -1)
			pfk__ledger_end(l->ledger, fd);
	}
}

static void
log_result(size_t kept, size_t lost)
{
	const char *s = kept == 1 ? "" : "s";

	if (lost == 0)
		pfk_log(PFK_INFO, "went on with %zu connection%s", kept, s);
	else
		pfk_log(PFK_INFO,
		    "went on with %zu connection%s; %zu could not be continued",
		    kept, s, lost);
}

int
pfk__rebuild_streams(struct pfk_loop *l, int accepted, int listener)
{
	struct work w = {.l = l};
	struct pfk_server *s;
	bool good;

	for (int i = 0; i < 2; i++) {
		if (l->ledger->head->state_tx[i] > l->ledger->head->committed)
			l->ledger->head->state_tx[i] = PFK__NO_TX;
	}
	good = pfk__inventory_open(&w.chunks, l->ledger) && collect_streams(&w);
	if (!good)
		goto out;
	rebuild_all(&w);
	l->ledger->head->serving = -1;
	l->ledger->head->taking = l->ledger->head->verdict_to = 0;
	adopt_again(l);
	s = accepted != -1 ? pfk__server_of(l, listener) : NULL;
	if (s != NULL)
		pfk__acceptor_add(s, accepted);
	else if (accepted != -1)
		close(accepted);
	l->ledger->head->accepting = -1;
	log_result(w.n - w.lost, w.lost);
out:
	pfk__inventory_close(&w.chunks);
	free(w.fds);
	free(w.made);
	return good ? 0 : -1;
}
