/*
 * master.c: supervise: slots, and stop.
 *
 * Layer: process.
 */
#include "process/master.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/title.h"
#include "base/why.h"
#include "net/listener.h"
#include "process/control.h"
#include "process/history.h"
#include "process/prepare.h"
#include "process/takeover.h"

/* Grace after a worker's deadline before SIGKILL. */
#define KILL_GRACE_NS PFK_SECOND_NS

static void arm_tick(struct pfk__master *m);

/* slots */

static void
spawn(struct pfk__master *m, int slot)
{
	bool trying = m->reload == PFK__RELOAD_TRYING, tried;

	/* It would start with a configuration that may yet be refused. */
	m->places[slot].held = trying && slot != m->rolling;
	if (m->places[slot].held)
		return;
	if (pfk__child_spawn(m, slot) == 0) {
		m->spawn_error = 0;
		return;
	}
	if (!m->started) {
		pfk_complain("cannot start worker %d: %s", slot,
		    pfk__why(errno));
		pfk__master_stop(m, PFK__STOP_FAST, EX_OSERR, 0);
		return;
	}
	tried = trying;
	if (tried) {
		pfk__reload_abandon(m, pfk__why(errno));
	} else if (errno != m->spawn_error) {
		/* Tried again and again, told once. */
		m->spawn_error = errno;
		pfk_log(PFK_ERROR, "cannot start worker %d: %s; trying again",
		    slot, pfk__why(errno));
	}
	pfk__master_step(m, slot, PFK__SLOT_DIED_BOOTING);
	if (tried)
		pfk__master_step(m, slot, PFK__SLOT_KEEP);
}

unsigned
pfk__master_decide(struct pfk__master *m, int slot, enum pfk__slot_event event)
{
	bool died = event == PFK__SLOT_DIED_BOOTING ||
	    event == PFK__SLOT_DIED_SERVING || event == PFK__SLOT_LEFT;

	unsigned todo = pfk__slot_step(&m->places[slot].slot, event,
	    pfk_loop_now(m->loop), died ? arc4random() : 0);

	pfk__slot_check(&m->places[slot].slot);
	return todo;
}

void
pfk__master_act(struct pfk__master *m, int slot, unsigned todo)
{
	struct pfk__place *p = &m->places[slot];
	struct pfk__child *predecessor = p->serving;

	assert(predecessor == NULL || predecessor->slot == slot);
	if ((todo & PFK__DO_KILL_BOOTING) != 0)
		p->held = false;
	if ((todo & PFK__DO_KILL_BOOTING) != 0 && p->booting != NULL) {
		p->booting->phase = PFK__PHASE_LEAVING;
		pfk__child_signal(p->booting, SIGKILL);
		pfk__custody_undo(&m->custody, slot, p->booting->generation);
		p->booting = NULL;
	}
	/* First, because the predecessor hands its connections to it. */
	if ((todo & PFK__DO_PROMOTE) != 0 && p->booting != NULL)
		pfk__child_promote(p->booting);
	/* Without a successor its sockets stay in custody for a sibling. */
	if ((todo & PFK__DO_RETIRE) != 0 && predecessor != NULL)
		pfk__child_retire(predecessor);
	if ((todo & PFK__DO_SPAWN) != 0)
		spawn(m, slot);
}

void
pfk__master_step(struct pfk__master *m, int slot, enum pfk__slot_event event)
{
	pfk__master_act(m, slot, pfk__master_decide(m, slot, event));
}

void
pfk__master_boot_failed(struct pfk__master *m, const struct pfk__child *c)
{
	int slot = c->slot;

	if (!m->started) {
		pfk_complain("cannot start: %s", c->fail_text);
		pfk__master_stop(m, PFK__STOP_FAST,
		    c->fail_status != 0 ? c->fail_status : EX_SOFTWARE, 0);
		return;
	}
	pfk__reload_abandon(m, c->fail_text);
	pfk__master_step(m, slot, PFK__SLOT_DIED_BOOTING);
	pfk__master_step(m, slot, PFK__SLOT_KEEP);
}

/* So that ps(1) tells one service of this program from another. */
void
pfk__master_title(const struct pfk__master *m)
{
	const struct pfk__lent *l = pfk__custody_first(&m->custody, 0);
	const char *file = m->config.config_file;
	char name[PFK_ADDR_SIZE];

	pfk__title_set("master%s%s%s%s%s", l != NULL ? " " : "",
	    l != NULL ? pfk_addr_format(name, &l->bound) : "",
	    file != NULL ? " (" : "", file != NULL ? file : "",
	    file != NULL ? ")" : "");
}

static void
log_ready(const struct pfk__master *m)
{
	char text[700] = "", name[PFK_ADDR_SIZE];
	const struct pfk__lent *l;
	size_t n = 0;

	for (l = pfk__custody_first(&m->custody, 0);
	     l != NULL && n < sizeof(text); l = pfk__custody_next(l))
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %s",
		    n > 0 ? ", " : "", pfk__kind_name(l->kind),
		    pfk_addr_format(name, &l->bound));
	pfk__master_title(m);
	pfk_log(PFK_INFO, "ready: %d worker%s on %s", m->workers,
	    m->workers == 1 ? "" : "s", text);
}

/* Workers of a master that has died are replaced, as in a reload. */
static void
roll_orphans(struct pfk__master *m)
{
	const struct pfk__child *c;

	LIST_FOREACH(c, &m->children, link) {
		if (c->orphan && c->phase != PFK__PHASE_LEAVING &&
		    m->reload == PFK__RELOAD_SETTLED)
			pfk__reload_roll(m);
	}
}

static void
all_ready(struct pfk__master *m)
{
	int status = 0;

	assert(!m->started && m->stop == PFK__STOP_NONE);
	m->started = true;
	if (m->hooks->on_ready != NULL)
		status = m->hooks->on_ready(m->arg);
	if (status != 0 && m->taken_over == 0) {
		pfk__master_stop(m, PFK__STOP_FAST, status, 0);
		return;
	}
	if (status != 0)
		pfk_log(PFK_WARNING,
		    "the service goes on after this failure, because the "
		    "workers that were taken over have connections");
	/* The service manager may have kept listeners of addresses before. */
	pfk__adopt_prune(m);
	log_ready(m);
	pfk__notify_ready(m);
	roll_orphans(m);
	if (m->reload == PFK__RELOAD_SETTLED)
		pfk__upgrade_done(m);
}

/* Whether each slot has failed so often that waiting will not help. */
static bool
hopeless(const struct pfk__master *m)
{
	for (int i = 0; i < m->workers; i++) {
		const struct pfk__slot *s = &m->places[i].slot;

		if (s->state != PFK__SLOT_BACKOFF ||
		    s->failures < PFK__SLOT_HOPELESS)
			return false;
	}
	return true;
}

static int
serving(const struct pfk__master *m)
{
	int n = 0;

	for (int i = 0; i < m->workers; i++)
		n += m->places[i].serving != NULL;
	return n;
}

/*
 * The first slot founds the sockets that the others join; and those open theirs
 * one after the other, so that the order is known (surplus.c).  A slot with
 * sockets in custody opens none.
 */
static bool
must_wait(const struct pfk__master *m, int slot, bool *opening)
{
	const struct pfk__place *p = &m->places[slot];

	if (p->slot.state != PFK__SLOT_EMPTY) {
		*opening = *opening ||
		    ((p->booting != NULL || p->held) &&
			pfk__custody_count(&m->custody, slot) == 0);
		return false;
	}
	if (slot > 0 && !m->started && m->places[0].serving == NULL)
		return true;
	/* One that was drained tries the configuration itself. */
	if (m->reload == PFK__RELOAD_TRYING)
		return slot != m->rolling;
	if (pfk__custody_count(&m->custody, slot) > 0)
		return false;
	if (*opening)
		return true;
	*opening = true;
	return false;
}

/* The trial has ended: start the slots that waited for that. */
static void
start_held(struct pfk__master *m)
{
	if (m->reload == PFK__RELOAD_TRYING)
		return;
	for (int i = 0; i < m->places_top; i++) {
		if (m->places[i].held)
			spawn(m, i);
	}
}

/*
 * An orphan that has not said READY yet has connections, unlike others that
 * boot: where its slot is not wanted it is retired once it serves, not killed.
 */
static bool
comes_over(const struct pfk__place *p)
{
	return p->booting != NULL && p->booting->orphan;
}

void
pfk__master_maintain(void *arg)
{
	struct pfk__master *m = arg;
	bool opening = false;
	int used = 0;

	if (m->stop != PFK__STOP_NONE) {
		if (LIST_EMPTY(&m->children))
			pfk_loop_stop(m->loop);
		return;
	}
	if (m->awaiting)
		return;
	pfk__children_retire_deferred(m);
	for (int i = 0; i < m->places_used || i < m->workers; i++) {
		bool wanted = i < m->workers && !m->places[i].drained &&
		    !must_wait(m, i, &opening);

		if (!wanted && comes_over(&m->places[i]))
			used = i + 1;
		else if (wanted || m->places[i].slot.state != PFK__SLOT_EMPTY)
			pfk__master_step(m, i,
			    wanted ? PFK__SLOT_WANT : PFK__SLOT_UNWANT);
		pfk__master_step(m, i, PFK__SLOT_TICK);
	}
	assert(m->places_used <= PFK_WORKERS_MAX && m->workers > 0);
	/* All slots from here on are EMPTY. */
	m->places_used = used > m->workers ? used : m->workers;
	if (m->workers > m->places_top)
		m->places_top = m->workers;
	if (m->stop == PFK__STOP_NONE) {
		pfk__broken_maintain(m);
		pfk__adopt_maintain(m);
		pfk__surplus_maintain(m);
	}
	if (m->stop == PFK__STOP_NONE && !m->started &&
	    serving(m) == m->workers)
		all_ready(m);
	if (m->reload != PFK__RELOAD_SETTLED)
		pfk__reload_continue(m);
	start_held(m);
	if (m->reload == PFK__RELOAD_SETTLED && m->reload_wanted && m->started)
		pfk__reload_begin(m);
	if (m->stop == PFK__STOP_NONE && hopeless(m)) {
		pfk_log(PFK_ERROR,
		    "all workers keep dying; stopping the service: the "
		    "lines above have the causes");
		pfk__master_stop(m, PFK__STOP_FAST, EX_UNAVAILABLE, 0);
	}
	arm_tick(m);
	pfk__store_maintain(m);
	pfk__exporter_maintain(m);
	pfk__control_maintain(m);
	pfk__upgrade_maintain(m);
}

void
pfk__master_wake(struct pfk__master *m)
{
	pfk__soon_add(m->loop, &m->maintain, pfk__master_maintain, m);
}

static void
on_tick(void *arg)
{
	pfk__master_wake(arg);
}

static void
arm_tick(struct pfk__master *m)
{
	uint64_t next = UINT64_MAX, at, now = pfk_loop_now(m->loop);

	for (int i = 0; i < m->workers; i++) {
		if (pfk__slot_due(&m->places[i].slot, &at) && at < next)
			next = at;
	}
	pfk_timer_cancel(&m->tick);
	if (next != UINT64_MAX)
		pfk_timer_set(&m->tick, m->loop, next > now ? next - now : 0,
		    on_tick, m);
}

/* stopping */

static void
on_kill(void *arg)
{
	struct pfk__master *m = arg;

	if (!LIST_EMPTY(&m->children))
		pfk_log(PFK_WARNING,
		    "some workers have not ended in time; killing them");
	pfk__children_signal(m, SIGKILL);
}

void
pfk__master_stop(struct pfk__master *m, enum pfk__stop how, int status,
    uint64_t timeout_ns)
{
	if (m->awaiting) {
		pfk__takeover_then_stop(m, how, status, timeout_ns);
		return;
	}
	if (m->stop == PFK__STOP_NONE)
		m->status = status;
	else if (how < m->stop)
		return;
	m->stop = how;
	pfk_timer_cancel(&m->stop_delay);
	pfk__notify_stopping(m);
	pfk__prepare_cancel();
	if (status != EX_OK)
		pfk__upgrade_back(m, "it cannot serve");
	if (status != EX_OK && !m->started)
		pfk__takeover_give_up(m);
	pfk__upgrade_done(m);
	pfk__upgrade_cancel(m);
	pfk_timer_cancel(&m->tick);
	pfk_timer_cancel(&m->late);
	pfk_timer_cancel(&m->surplus);
	pfk_timer_cancel(&m->kill);
	/* After a failure, the next start serves the clients that wait. */
	if (m->status == EX_OK)
		pfk__store_end(m);
	/*
	 * Close the listeners for good: new clients are refused, and do not
	 * wait in vain.
	 */
	pfk__custody_clear(&m->custody);
	if (how == PFK__STOP_FAST) {
		pfk__children_signal(m, SIGINT);
		pfk_timer_set(&m->kill, m->loop, KILL_GRACE_NS, on_kill, m);
	} else {
		struct pfk__message msg = {.type = PFK__MSG_DRAIN,
		    .how = PFK_DRAIN_STOP,
		    .ns = timeout_ns};

		pfk__children_tell(m, &msg, -1);
		if (timeout_ns > 0)
			pfk_timer_set(&m->kill, m->loop,
			    timeout_ns + KILL_GRACE_NS, on_kill, m);
	}
	pfk__control_maintain(m);
	if (LIST_EMPTY(&m->children))
		pfk_loop_stop(m->loop);
}
