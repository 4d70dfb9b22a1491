/*
 * rows.c: the state of the slots, as status, metrics and top need it.
 *
 * Layer: process.  tcp(7).
 */
#include "process/rows.h"

#include <netinet/tcp.h>

#include "base/state.h"
#include "process/area.h"
#include "process/history.h"
#include "process/master.h"

/* A listener's queue: tcp(7) has it in fields that mean more on others. */
static bool
queue_of(const struct pfk__lent *l, unsigned *now, unsigned *max)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (l->kind != PFK_TCP ||
	    getsockopt(l->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == -1)
		return false;
	*now = info.tcpi_unacked;
	*max = info.tcpi_sacked;
	return true;
}

bool
pfk__row_stalls(const struct pfk__master *m, int slot)
{
	const struct pfk__place *p = &m->places[slot];
	struct pfk__child *c = p->serving;
	uint64_t still;
	char state;

	if (c == NULL)
		return false;
	/* Even an idle loop turns each quarter of the limit. */
	still = pfk__pulse_still(&c->pulse, pfk_loop_now(m->loop));
	if (p->stall.stalled || (c->hang_ns > 0 && still > c->hang_ns / 2))
		return true;
	state = pfk__process_state(pfk__child_pid(c));
	return state == 'T' || state == 't';
}

void
pfk__row_make(struct pfk__row *r, const struct pfk__master *m, int slot)
{
	const struct pfk__place *p = &m->places[slot];
	const struct pfk__lent *l = pfk__custody_first(&m->custody, slot);
	unsigned now, max;

	*r = (struct pfk__row){.slot = slot,
	    .place = p,
	    .worker = p->serving != NULL ? p->serving : p->booting,
	    .stalls = pfk__row_stalls(m, slot)};
	for (; l != NULL; l = pfk__custody_next(l)) {
		if (!queue_of(l, &now, &max))
			continue;
		r->has_queue = true;
		r->queue += now;
		r->queue_max += max;
	}
	if (r->worker != NULL)
		r->cpu =
		    pfk__stats_cpu(&pfk__area_of(r->worker->pulse.page)->stats,
			pfk_loop_now(m->loop));
	pfk__history_sum(m, slot, &r->sum);
}

bool
pfk__row_is_shown(const struct pfk__master *m, const struct pfk__row *r)
{
	return r->slot < m->workers || r->place->serving != NULL ||
	    r->place->booting != NULL || r->place->adopter != NULL;
}

const char *
pfk__row_state(const struct pfk__row *r)
{
	static const char *const names[] = {[PFK__SLOT_EMPTY] = "empty",
	    [PFK__SLOT_STARTING] = "starting",
	    [PFK__SLOT_SERVING] = "serving",
	    [PFK__SLOT_REPLACING] = "replacing",
	    [PFK__SLOT_BACKOFF] = "backoff"};
	const struct pfk__place *p = r->place;

	if (p->drained)
		return "drained";
	return r->stalls ? "stalled" : names[p->slot.state];
}

pid_t
pfk__row_keeper(const struct pfk__row *r)
{
	const struct pfk__child *c = r->worker;

	/* While the worker has not introduced itself its pid is not known. */
	return c != NULL && c->pid != 0 && c->keeper != c->pid ? c->keeper : 0;
}
