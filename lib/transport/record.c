/*
 * record.c: a connection's record in the ledger.
 *
 * Layer: transport.
 */
#include <string.h>

#include "transport/deadline.h"
#include "transport/input.h"
#include "transport/join.h"
#include "transport/server.h"
#include "transport/tx.h"

static unsigned
mode_flags(const struct pfk_transport *tr)
{
	unsigned mode = tr->extra != NULL ? tr->extra->in.mode
					  : PFK__RECEIVE_ANY;

	if (mode == PFK__RECEIVE_EXACTLY)
		return PFK__FLAG_EXACTLY;
	return mode == PFK__RECEIVE_UNTIL ? PFK__FLAG_UNTIL : 0;
}

static uint16_t
flags_of(const struct pfk_transport *tr)
{
	return (uint16_t)((tr->made ? PFK__FLAG_MADE : 0u) |
	    (tr->paused ? PFK__FLAG_PAUSED : 0u) |
	    (tr->told_pause ? PFK__FLAG_TOLD_PAUSE : 0u) |
	    (tr->eof_received ? PFK__FLAG_EOF_RECEIVED : 0u) |
	    (tr->eof_wanted ? PFK__FLAG_EOF_WANTED : 0u) |
	    (tr->eof_sent ? PFK__FLAG_EOF_SENT : 0u) |
	    (tr->state == PFK__TCP_CLOSING ? PFK__FLAG_CLOSING : 0u) |
	    (tr->told_drain ? PFK__FLAG_TOLD_DRAIN : 0u) |
	    (tr->shared ? PFK__FLAG_SHARED : 0u) |
	    (tr->echoes ? PFK__FLAG_ECHOES : 0u) |
	    (tr->state == PFK__TCP_LOST ? PFK__FLAG_LOST : 0u) |
	    (tr->gone ? PFK__FLAG_GONE : 0u) | mode_flags(tr));
}

static void
write_input(struct pfk__version *v, const struct pfk__extra *e)
{
	v->left = e != NULL ? (uint32_t)e->in.left_len : 0;
	v->want = e != NULL ? (uint32_t)e->in.want : 0;
	v->last = e != NULL ? (uint8_t)e->in.last : 0;
}

/* The bytes themselves are in chunks: rebuild.c, which has checked these. */
static void
restore_input(struct pfk_transport *tr, const struct pfk__version *v)
{
	bool framed = (v->flags & (PFK__FLAG_EXACTLY | PFK__FLAG_UNTIL)) != 0;
	struct pfk__input *in;

	if ((v->left == 0 && !framed) || pfk__need_extra(tr) == NULL)
		return;
	in = &tr->extra->in;
	in->left_len = v->left;
	in->want = v->want;
	in->last = (char)v->last;
	if ((v->flags & PFK__FLAG_EXACTLY) != 0)
		in->mode = PFK__RECEIVE_EXACTLY;
	if ((v->flags & PFK__FLAG_UNTIL) != 0)
		in->mode = PFK__RECEIVE_UNTIL;
}

void
pfk__tcp_version(struct pfk_transport *tr, uint64_t tx)
{
	struct pfk__ledger *g = tr->io.loop->ledger;
	struct pfk__record *r = pfk__record(g, tr->io.fd);
	struct pfk__version *v;
	uint8_t block;

	if (r == NULL)
		return;
	block = pfk__version(g, r)->block;
	v = pfk__version_begin(g, r);
	v->in = tr->received;
	v->out = tr->sent + pfk__unsent(tr);
	v->flags = flags_of(tr);
	v->block = tr->new_block ? !block : block;
	write_input(v, tr->extra);
	r->stream.low = tr->low;
	r->stream.high = tr->high;
	tr->new_block = false;
	pfk__version_end(v, tx);
}

void
pfk__tcp_note(struct pfk_transport *tr)
{
	struct pfk__ledger_head *h = tr->io.loop->ledger->head;

	if (tr->io.loop->tx_depth > 0) {
		pfk__tx_touch(tr);
		return;
	}
	pfk__tcp_version(tr, h->committed + 1);
	h->committed++;
	pfk__in_order();
}

/* Whether a successor could go on with it. */
static enum pfk__entry
entry_of(const struct pfk_transport *tr)
{
	if (tr->roster->server != NULL && tr->state == PFK__TCP_CLOSING)
		return PFK__ENTRY_STREAM;
	if (!tr->survives || tr->state == PFK__TCP_LOST || pfk__join_paired(tr))
		return PFK__ENTRY_DOOMED;
	return PFK__ENTRY_STREAM;
}

void
pfk__tcp_enter(const struct pfk_transport *tr)
{
	pfk__ledger_note(tr->io.loop->ledger, tr->io.fd, entry_of(tr));
}

void
pfk__tcp_record(struct pfk_transport *tr)
{
	struct pfk__ledger *g = tr->io.loop->ledger;
	struct pfk__record *r = pfk__record(g, tr->io.fd);
	void *block = pfk__block(g, tr->io.fd, 0);

	if (r == NULL)
		return;
	r->stream.versions[0] = (struct pfk__version){0};
	r->stream.versions[1].tx = PFK__NO_TX;
	if (block != NULL)
		memset(block, 0, g->head->block_bytes);
	r->server = tr->roster->server != NULL ? tr->roster->server->listener
					       : -1;
	r->owner = -1;
	r->stream.peer = tr->peer;
	r->stream.active_ns = r->stream.since_ns = tr->io.loop->now;
	r->stream.read_by_ns = r->stream.write_by_ns = 0;
	r->stream.received0 = r->stream.sent0 = 0;
	r->stream.pipe_out = r->stream.pipe_in = 0;
	r->stream.given_to = 0;
	r->stream.versions[0].flags = flags_of(tr);
	r->stream.low = tr->low;
	r->stream.high = tr->high;
	pfk__tcp_enter(tr);
}

uint64_t
pfk__tcp_since(const struct pfk_transport *tr)
{
	const struct pfk__record *r = pfk__record(tr->io.loop->ledger,
	    tr->io.fd);

	return r != NULL ? r->stream.since_ns : 0;
}

void
pfk__tcp_backdate(const struct pfk_transport *tr, uint64_t since_ns)
{
	struct pfk__record *r = pfk__record(tr->io.loop->ledger, tr->io.fd);

	if (r != NULL)
		r->stream.since_ns = since_ns;
}

void
pfk__tcp_baseline(const struct pfk_transport *tr)
{
	struct pfk__record *r = pfk__record(tr->io.loop->ledger, tr->io.fd);

	if (r == NULL)
		return;
	pfk__tcp_counts(tr->io.fd, &r->stream.received0, &r->stream.sent0);
	/* Bytes that came with it are received here. */
	r->stream.received0 -= tr->received;
}

void
pfk__tcp_restore(struct pfk_transport *tr, struct pfk__record *r)
{
	const struct pfk__version *v = pfk__version(tr->io.loop->ledger, r);
	uint16_t flags = v->flags;

	tr->active_ns = r->stream.active_ns;
	tr->high = r->stream.high;
	tr->low = r->stream.low < tr->high ? r->stream.low : tr->high;
	tr->made = (flags & PFK__FLAG_MADE) != 0;
	tr->paused = (flags & PFK__FLAG_PAUSED) != 0;
	tr->told_pause = (flags & PFK__FLAG_TOLD_PAUSE) != 0;
	tr->eof_received = (flags & PFK__FLAG_EOF_RECEIVED) != 0;
	tr->eof_wanted = (flags & PFK__FLAG_EOF_WANTED) != 0;
	tr->eof_sent = (flags & PFK__FLAG_EOF_SENT) != 0;
	tr->told_drain = (flags & PFK__FLAG_TOLD_DRAIN) != 0;
	tr->shared = (flags & PFK__FLAG_SHARED) != 0;
	tr->gone = (flags & PFK__FLAG_GONE) != 0;
	if ((flags & PFK__FLAG_CLOSING) != 0)
		tr->state = PFK__TCP_CLOSING;
	restore_input(tr, v);
	pfk__deadlines_restore(tr, r);
}
