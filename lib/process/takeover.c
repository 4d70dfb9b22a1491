/*
 * takeover.c: a new master takes over the workers of a dead one.
 *
 * Layer: process.
 */
#include "process/takeover.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/received.h"
#include "process/control.h"
#include "process/master.h"

/* Orphans knock each 50 ms: so long without a knock, and there are none... */
#define SILENCE_NS (400 * PFK_MSEC_NS)
/* ... and no longer than this in all. */
#define AWAIT_NS (1500 * PFK_MSEC_NS)
/* One that breaks its way off may begin anew within this time. */
#define LOST_NS (10 * PFK_SECOND_NS)
/* The most workers that leave or come late, for each worker of this service. */
#define LATE_MAX 16
/* No honest generation comes near; further ones are counted on from it. */
#define GENERATION_MAX (UINT64_C(1) << 62)

static int
count_orphans(const struct pfk__master *m, bool leavers)
{
	const struct pfk__child *c;
	int n = 0;

	LIST_FOREACH(c, &m->children, link)
		n += c->orphan && c->leaver == leavers;
	return n;
}

static const char *
origin(const struct pfk__master *m)
{
	return m->inherited.lock > 0 ? "the program before"
				     : "a master that has died";
}

/* Their listeners come into custody in order of the slots. */
static void
read_orphans(struct pfk__master *m)
{
	int top = m->places_top > m->places_used ? m->places_top
						 : m->places_used;

	for (int i = 0; i < top; i++) {
		struct pfk__child *c = m->places[i].booting;

		if (c == NULL || !c->orphan)
			continue;
		pfk_io_want(c->io, PFK_READ);
		pfk__hear_all(c);
	}
}

static void
end_waiting(struct pfk__master *m)
{
	int n = count_orphans(m, false);

	pfk_timer_cancel(&m->await);
	m->awaiting = false;
	/* Those whose slot another one serves have heirs from now on. */
	m->drains_due = true;
	if (n > m->taken_over)
		pfk_log(PFK_INFO, "took over %d worker%s of %s", n,
		    n == 1 ? "" : "s", origin(m));
	m->taken_over = n;
	read_orphans(m);
	if (m->stop_next != PFK__STOP_NONE)
		pfk__master_stop(m, m->stop_next, m->stop_status,
		    m->stop_timeout_ns);
	pfk__master_wake(m);
}

static void
on_silence(void *arg)
{
	end_waiting(arg);
}

static void
wait_on(struct pfk__master *m)
{
	uint64_t passed = pfk_loop_now(m->loop) - m->await_ns;
	uint64_t left = passed < AWAIT_NS ? AWAIT_NS - passed : 0;

	pfk_timer_set(&m->await, m->loop, left < SILENCE_NS ? left : SILENCE_NS,
	    on_silence, m);
}

static void
await(struct pfk__master *m)
{
	m->awaiting = true;
	m->await_ns = pfk_loop_now(m->loop);
	if (m->awaited_ns == 0)
		m->awaited_ns = m->await_ns;
	wait_on(m);
}

void
pfk__takeover_await(struct pfk__master *m)
{
	if (pfk__control_was_stale(m))
		await(m);
}

static bool
has_place(const struct pfk__child *c)
{
	const struct pfk__place *p = &c->master->places[c->slot];

	return p->booting == c || p->serving == c;
}

/* As if it had never come. */
static void
give_place_back(struct pfk__child *c)
{
	struct pfk__master *m = c->master;
	struct pfk__place *p = &m->places[c->slot];

	p->booting = p->serving = NULL;
	pfk__custody_undo(&m->custody, c->slot, c->generation);
	pfk__master_step(m, c->slot, PFK__SLOT_UNWANT);
	pfk__adopt_forget(m, c);
	if (!m->started && m->stop == PFK__STOP_NONE)
		await(m);
}

bool
pfk__takeover_lost(struct pfk__child *c)
{
	const struct pfk__master *m = c->master;

	if (!has_place(c) || m->started || m->stop != PFK__STOP_NONE ||
	    pfk_loop_now(m->loop) - m->awaited_ns > LOST_NS)
		return false;
	give_place_back(c);
	return true;
}

void
pfk__takeover_refuse(struct pfk__child *c)
{
	pfk__broken_reclaim(c->master, c);
	if (has_place(c))
		give_place_back(c);
	pfk__child_drop(c);
}

void
pfk__takeover_give_up(struct pfk__master *m)
{
	struct pfk__child *c, *next;
	int n = 0;

	LIST_FOREACH_SAFE(c, &m->children, link, next) {
		if (!c->orphan)
			continue;
		n += c->phase != PFK__PHASE_LEAVING;
		m->control->instance.stays = true;
		/* A message of it may be the cause: it is read, and freed then. */
		if (c->heard)
			c->refused = true;
		else
			pfk__takeover_refuse(c);
	}
	if (n == 0)
		return;
	pfk_log(PFK_WARNING,
	    "%d worker%s of the master before serve%s on, for the next start",
	    n, n == 1 ? "" : "s", n == 1 ? "s" : "");
}

void
pfk__takeover_then_stop(struct pfk__master *m, enum pfk__stop how, int status,
    uint64_t timeout_ns)
{
	if (how < m->stop_next)
		return;
	if (m->stop_next == PFK__STOP_NONE)
		m->stop_status = status;
	m->stop_next = how;
	m->stop_timeout_ns = timeout_ns;
}

static bool
is_free(const struct pfk__master *m, int slot)
{
	const struct pfk__place *p = &m->places[slot];

	return p->booting == NULL && p->serving == NULL &&
	    p->slot.state == PFK__SLOT_EMPTY;
}

/* Whether a worker has come for each of the first slots. */
static bool
all_found(const struct pfk__master *m, int workers)
{
	for (int i = 0; i < workers; i++) {
		if (is_free(m, i))
			return false;
	}
	return true;
}

static bool
is_known(const struct pfk__master *m, pid_t pid, pid_t keeper)
{
	const struct pfk__child *c;

	LIST_FOREACH(c, &m->children, link) {
		if (c->pid == pid || (keeper != 0 && c->keeper == keeper))
			return true;
	}
	return false;
}

/* The keeper's worker before it may have knocked, too, and have died. */
static void
hear_predecessor(struct pfk__master *m, pid_t pid, pid_t keeper)
{
	struct pfk__child *c;

	LIST_FOREACH(c, &m->children, link) {
		if (!c->orphan || keeper == 0 || c->keeper != keeper ||
		    c->pid == pid)
			continue;
		pfk__hear_all(c);
		return;
	}
}

/* A worker that forks must not fill the master with knocks. */
static bool
are_enough(const struct pfk__master *m, const struct pfk__knock *k)
{
	int n = count_orphans(m, k->slot < 0);

	if (k->slot < 0 || !m->awaiting)
		return n >= LATE_MAX * m->workers;
	return n >= 2 * k->workers;
}

/* Whether it can become a child now, or why not. */
static const char *
check(const struct pfk__master *m, const struct pfk__knock *k, pid_t pid)
{
	if (k->version < 1 || k->message_bytes < PFK__MESSAGE_MIN ||
	    pfk__knock_slot(k) >= PFK_WORKERS_MAX || k->keeper < 0 ||
	    k->keeper == 1 || k->workers < 1 || k->workers > PFK_WORKERS_MAX ||
	    k->generation == 0 || k->generation > GENERATION_MAX)
		return "its knock makes no sense";
	if (m->stop != PFK__STOP_NONE)
		return "the service stops";
	if (is_known(m, pid, k->keeper))
		return "it is a worker of this master already";
	if (are_enough(m, k))
		return "there are too many of its kind";
	return NULL;
}

/* It becomes its slot's worker, until the renewal. */
static void
serve_slot(struct pfk__master *m, struct pfk__child *c)
{
	if (c->slot >= m->places_used)
		m->places_used = c->slot + 1;
	if (c->slot >= m->places_top)
		m->places_top = c->slot + 1;
	m->places[c->slot].booting = c;
	pfk__master_step(m, c->slot, PFK__SLOT_FOUND);
}

/*
 * It hands its connections over and ends: the old master had ordered that, or
 * another worker has its slot.  Then the old master died in a reload, with two workers
 * of a slot, or this one hung while the others knocked.
 */
static void
retire_late(struct pfk__master *m, struct pfk__child *c)
{
	c->phase = PFK__PHASE_LEAVING;
	c->retire_wanted = true;
	if (c->leaver)
		pfk_log(PFK_INFO,
		    "took over worker %d (%d) of %s, which leaves", c->slot,
		    (int)c->pid, origin(m));
	if (m->awaiting) {
		pfk_io_want(c->io, PFK_READ);
		return;
	}
	if (!c->leaver)
		pfk_log(PFK_INFO,
		    "took over worker %d (%d) of %s, later than others",
		    c->slot, (int)c->pid, origin(m));
	m->drains_due = true;
	pfk__master_wake(m);
}

const char *
pfk__takeover_knock(struct pfk__master *m, const struct pfk__knock *k,
    pid_t pid, uid_t uid, int fd)
{
	const char *why;
	struct pfk__child *c;

	hear_predecessor(m, pid, k->keeper);
	why = check(m, k, pid);
	if (why == NULL) {
		c = pfk__child_found(m, pfk__knock_slot(k), k->generation, fd);
		if (c == NULL)
			why = "there is no memory for it";
	}
	if (why != NULL) {
		pfk__close_received(fd);
		return why;
	}
	c->version = k->version;
	c->leaver = k->slot < 0;
	c->deaths_told = -1;
	if (!pfk__child_claim(c, pid, k->keeper, uid)) {
		pfk__child_drop(c);
		return "it is not its keeper's worker";
	}
	if (k->generation > m->generation)
		m->generation = k->generation;
	/* A slot that the configuration does not know may come last. */
	if (!c->leaver && is_free(m, c->slot) &&
	    (m->awaiting || c->slot >= m->workers))
		serve_slot(m, c);
	else
		retire_late(m, c);
	if (!m->awaiting)
		pfk_io_want(c->io, PFK_READ);
	else if (!c->leaver && all_found(m, k->workers))
		end_waiting(m);
	else if (!c->leaver)
		wait_on(m);
	return NULL;
}
