/*
 * tcp_stats.c: count the messages of TCP transports, and time their responses.
 *
 * Layer: transport.
 */
#include "transport/server.h"
#include "transport/tcp.h"

void
pfk__tcp_count_received(const struct pfk_transport *tr, uint64_t n)
{
	struct pfk_loop *l = tr->io.loop;
	struct pfk__stats *s = l->stats;
	uint64_t since;

	s->counts[PFK__COUNT_MESSAGES_IN]++;
	s->counts[PFK__COUNT_BYTES_IN] += n;
	pfk__record_event(l->recorder, l->now, PFK__HAPPENED_RECEIVE, tr->io.fd,
	    n);
	if (tr->received > 0 || tr->roster->server == NULL)
		return;
	since = pfk__tcp_since(tr);
	if (since != 0 && since <= l->now)
		pfk__histogram_add(&s->times[PFK__TIME_FIRST_BYTE],
		    l->now - since, 1);
}

void
pfk__tcp_count_sent(const struct pfk_transport *tr, uint64_t n)
{
	struct pfk_loop *l = tr->io.loop;

	l->stats->counts[PFK__COUNT_MESSAGES_OUT]++;
	l->stats->counts[PFK__COUNT_BYTES_OUT] += n;
	pfk__record_event(l->recorder, l->now, PFK__HAPPENED_SEND, tr->io.fd,
	    n);
}

/* Of one message in 64: two calls of the clock would cost as much as the rest. */
uint64_t
pfk__tcp_response_begins(const struct pfk_loop *l)
{
	return pfk__stats_times(l->stats) ? pfk__clock_now() : 0;
}

void
pfk__tcp_response_ends(const struct pfk_loop *l, uint64_t begun_ns,
    uint64_t sent)
{
	if (begun_ns != 0 && l->stats->counts[PFK__COUNT_MESSAGES_OUT] != sent)
		pfk__histogram_add(&l->stats->times[PFK__TIME_RESPONSE],
		    pfk__clock_now() - begun_ns, 1);
}
