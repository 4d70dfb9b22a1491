/*
 * record.c: a connection's record in the ledger.
 *
 * Layer: transport.
 */
#include "transport/join.h"
#include "transport/server.h"

void
pfk__tcp_note(const struct pfk_transport *tr)
{
	struct pfk__record *r = pfk__record(tr->io.loop->ledger, tr->io.fd);

	if (r == NULL)
		return;
	r->flags = (uint16_t)((tr->made ? PFK__FLAG_MADE : 0u) |
	    (tr->paused ? PFK__FLAG_PAUSED : 0u) |
	    (tr->told_pause ? PFK__FLAG_TOLD_PAUSE : 0u) |
	    (tr->eof_received ? PFK__FLAG_EOF_RECEIVED : 0u) |
	    (tr->eof_wanted ? PFK__FLAG_EOF_WANTED : 0u) |
	    (tr->eof_sent ? PFK__FLAG_EOF_SENT : 0u) |
	    (tr->state == PFK__TCP_CLOSING ? PFK__FLAG_CLOSING : 0u) |
	    (tr->told_drain ? PFK__FLAG_TOLD_DRAIN : 0u) |
	    (tr->shared ? PFK__FLAG_SHARED : 0u));
	r->stream.low = tr->low;
	r->stream.high = tr->high;
}

/* Whether a successor could go on with it. */
static enum pfk__entry
entry_of(const struct pfk_transport *tr)
{
	if (tr->server->limits == NULL || !tr->server->proto->survives ||
	    tr->state >= PFK__TCP_GIVEN || pfk__join_paired(tr))
		return tr->state == PFK__TCP_CLOSING ? PFK__ENTRY_STREAM
						     : PFK__ENTRY_DOOMED;
	return PFK__ENTRY_STREAM;
}

void
pfk__tcp_enter(const struct pfk_transport *tr)
{
	pfk__ledger_note(tr->io.loop->ledger, tr->io.fd, entry_of(tr));
}

void
pfk__tcp_record(const struct pfk_transport *tr)
{
	struct pfk__record *r = pfk__record(tr->io.loop->ledger, tr->io.fd);

	if (r == NULL)
		return;
	r->server = tr->server->listener;
	r->owner = -1;
	r->stream.peer = tr->peer;
	r->stream.active_ns = tr->io.loop->now;
	r->stream.received0 = r->stream.sent0 = 0;
	r->stream.pipe_out = r->stream.pipe_in = 0;
	pfk__tcp_note(tr);
	pfk__tcp_enter(tr);
}

void
pfk__tcp_baseline(const struct pfk_transport *tr)
{
	struct pfk__record *r = pfk__record(tr->io.loop->ledger, tr->io.fd);

	if (r != NULL)
		pfk__tcp_counts(tr->io.fd, &r->stream.received0,
		    &r->stream.sent0);
}

void
pfk__tcp_restore(struct pfk_transport *tr, const struct pfk__record *r)
{
	tr->active_ns = r->stream.active_ns;
	tr->made = (r->flags & PFK__FLAG_MADE) != 0;
	tr->low = r->stream.low;
	tr->high = r->stream.high;
	tr->paused = (r->flags & PFK__FLAG_PAUSED) != 0;
	tr->told_pause = (r->flags & PFK__FLAG_TOLD_PAUSE) != 0;
	tr->eof_received = (r->flags & PFK__FLAG_EOF_RECEIVED) != 0;
	tr->eof_wanted = (r->flags & PFK__FLAG_EOF_WANTED) != 0;
	tr->eof_sent = (r->flags & PFK__FLAG_EOF_SENT) != 0;
	tr->told_drain = (r->flags & PFK__FLAG_TOLD_DRAIN) != 0;
	tr->shared = (r->flags & PFK__FLAG_SHARED) != 0;
	if ((r->flags & PFK__FLAG_CLOSING) != 0)
		tr->state = PFK__TCP_CLOSING;
}
