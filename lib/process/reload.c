/*
 * reload.c: replace the workers slot by slot, two at a time.
 *
 * Layer: process.  The steps that may take time run in a child (prepare.c), and
 * the master goes on meanwhile.  The first slot's successor tries the new
 * configuration for all: where it does not come up, nothing has changed and
 * nothing will.  A slot that takes too long is left behind, so that each reload
 * ends.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/why.h"
#include "process/control.h"
#include "process/master.h"
#include "process/prepare.h"
#include "process/use.h"

uint64_t pfk__reload_bound_ns = 30 * PFK_SECOND_NS;

static void on_late(void *arg);

/* The texts of the hooks about the configuration that they read. */
static struct {
	char refused[PFK_ERROR_SIZE];
	char changes[1024];
} said;

int
pfk_reload_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said.refused, sizeof(said.refused), fmt, ap);
	va_end(ap);
	return -1;
}

void
pfk_reload_changes(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said.changes, sizeof(said.changes), fmt, ap);
	va_end(ap);
}

void
pfk__reload_refusal(char *dst, size_t size)
{
	strlcpy(dst,
	    said.refused[0] != '\0' ? said.refused
				    : "the service refused the reload",
	    size);
}

static void
refuse(struct pfk__master *m, const char *why)
{
	pfk_log(PFK_ERROR, "reload refused: %s; nothing has changed", why);
	pfk__control_reload_ended(m, EX_CONFIG, "%s", why);
}

void
pfk__reload_abandon(struct pfk__master *m, const char *why)
{
	m->config = m->old_config;
	m->reload = PFK__RELOAD_SETTLED;
	pfk_timer_cancel(&m->late);
	if (m->hooks->reload_done != NULL)
		m->hooks->reload_done(false, m->arg);
	pfk_log(PFK_ERROR,
	    "reload failed: the new worker did not start: %s; nothing has "
	    "changed",
	    why);
	pfk__control_reload_ended(m, EX_UNAVAILABLE,
	    "the new worker did not start: %s; nothing has changed", why);
}

static void
commit(struct pfk__master *m)
{
	m->reload = PFK__RELOAD_ROLLING;
	pfk_timer_cancel(&m->late);
	/* The later order counts. */
	if (m->resized)
		m->config.workers = m->workers;
	if (m->config.workers != m->workers &&
	    m->hooks->workers_changed != NULL)
		m->hooks->workers_changed(m->config.workers, m->arg);
	m->workers = m->config.workers;
	pfk__watch_start(m);
	if (m->hooks->reload_done != NULL)
		m->hooks->reload_done(true, m->arg);
	/* There may be more slots than before. */
	pfk__master_wake(m);
}

/*
 * Whether the slot is done with: renewed, removed, or failing on its own account.  A new
 * worker that was killed from outside says nothing about the configuration or the
 * program: the next one does.
 */
static bool
settled(const struct pfk__master *m, int slot)
{
	const struct pfk__place *p = &m->places[slot];

	if (slot >= m->workers)
		return true;
	if (p->serving != NULL && p->serving->epoch == m->epoch)
		return true;
	if (p->killed)
		return false;
	/* An empty one has not been started yet. */
	return p->slot.state == PFK__SLOT_BACKOFF ||
	    (p->slot.state == PFK__SLOT_SERVING && p->slot.renew &&
		p->slot.failures > 0);
}

/* In every state of the slot, a worker with the new configuration follows. */
static void
renew(struct pfk__master *m, int slot)
{
	const struct pfk__place *p = &m->places[slot];

	if (!p->slot.renew && !p->held &&
	    (p->booting == NULL || p->booting->epoch != m->epoch))
		pfk__master_step(m, slot, PFK__SLOT_RENEW);
}

/* If not, the program goes back from a configuration that it has taken. */
static bool
is_usable(const struct pfk__master *m, const struct pfk_master_config *config)
{
	bool has_workers = config->workers >= 1 &&
	    config->workers <= PFK_WORKERS_MAX;

	if (has_workers && pfk__loop_knows(config->poller))
		return true;
	if (!has_workers)
		pfk_reload_fail("on_reload set %d workers; it is 1 to %d",
		    config->workers, PFK_WORKERS_MAX);
	else
		pfk_reload_fail(
		    "on_reload set the poller %s; it is " PFK__BACKENDS,
		    config->poller);
	if (m->hooks->reload_done != NULL)
		m->hooks->reload_done(false, m->arg);
	return false;
}

static void
try(struct pfk__master *m)
{
	struct pfk_master_config config = m->config;
	char why[PFK_ERROR_SIZE];

	if (m->hooks->on_reload != NULL &&
	    (m->hooks->on_reload(&config, m->arg) != 0 ||
		!is_usable(m, &config))) {
		pfk__reload_refusal(why, sizeof(why));
		refuse(m, why);
		return;
	}
	pfk__use_bound(&config);
	pfk__control_reload_changes(m, said.changes);
	m->old_config = m->config;
	m->config = config;
	pfk__instance_orphans(&m->control->instance, config.orphan_ns);
	m->epoch++;
	pfk__drains_end(m);
	m->reload = PFK__RELOAD_TRYING;
	m->rolling = 0;
	for (int i = 0; i < m->places_top; i++)
		m->places[i].late = false;
	pfk_timer_set(&m->late, m->loop, pfk__reload_bound_ns, on_late, m);
	renew(m, 0);
}

void
pfk__reload_prepared(struct pfk__master *m, const char *why)
{
	m->reload = PFK__RELOAD_SETTLED;
	pfk_timer_cancel(&m->late);
	if (why == NULL)
		try(m);
	else
		refuse(m, why);
	pfk__master_wake(m);
}

void
pfk__reload_begin(struct pfk__master *m)
{
	m->reload_wanted = false;
	m->resized = false;
	said.refused[0] = said.changes[0] = '\0';
	pfk_log(PFK_INFO, "reloading");
	m->reload_ns = pfk_loop_now(m->loop);
	pfk__control_reload_begun(m);
	if (m->hooks->prepare_reload == NULL) {
		try(m);
	} else if (pfk__prepare_start(m) == -1) {
		refuse(m, pfk__why(errno));
	} else {
		m->reload = PFK__RELOAD_PREPARING;
		pfk_timer_set(&m->late, m->loop, pfk__reload_bound_ns, on_late,
		    m);
	}
}

void
pfk__reload_roll(struct pfk__master *m)
{
	pfk__control_reload_begun(m);
	m->reload_ns = pfk_loop_now(m->loop);
	m->reload = PFK__RELOAD_ROLLING;
	m->rolling = 0;
	for (int i = 0; i < m->places_top; i++)
		m->places[i].late = false;
	pfk_timer_set(&m->late, m->loop, pfk__reload_bound_ns, on_late, m);
}

static void
log_end(const struct pfk__master *m)
{
	char except[200] = "";
	size_t n = 0;

	for (int i = 0; i < m->workers && n < sizeof(except); i++) {
		if (m->places[i].late)
			n += (size_t)snprintf(except + n, sizeof(except) - n,
			    "%s%d", n == 0 ? ", but for slot " : ", ", i);
	}
	pfk_log(n > 0 ? PFK_WARNING : PFK_INFO, "reloaded: %d worker%s%s",
	    m->workers, m->workers == 1 ? "" : "s", except);
}

static void
finish(struct pfk__master *m)
{
	int failing = 0;

	pfk__master_title(m);
	log_end(m);
	pfk__children_count_reload(m);
	for (int i = 0; i < m->workers; i++)
		failing += m->places[i].serving == NULL ||
		    m->places[i].serving->epoch != m->epoch;
	if (failing > 0)
		pfk__control_reload_ended(m, EX_SOFTWARE,
		    "%d of %d workers %s not serve the new configuration yet; "
		    "the log has the cause",
		    failing, m->workers, failing == 1 ? "does" : "do");
	else
		pfk__control_reload_ended(m, EX_OK, "reloaded: %d worker%s",
		    m->workers, m->workers == 1 ? "" : "s");
	if (failing > 0)
		pfk__upgrade_back(m, "not all of its workers serve");
	pfk__upgrade_done(m);
}

/* On to the next slot, or to the end. */
static void
next(struct pfk__master *m)
{
	pfk_timer_cancel(&m->late);
	if (++m->rolling < m->workers) {
		pfk_timer_set(&m->late, m->loop, pfk__reload_bound_ns, on_late,
		    m);
		return;
	}
	m->reload = PFK__RELOAD_SETTLED;
	pfk__adopt_prune(m);
	finish(m);
}

/*
 * Whether the slot has a listener for each address of the new configuration, as
 * slot 0 tells: then it opens none, and there is no order to keep (surplus.c).
 */
static bool
opens_none(const struct pfk__master *m, int slot)
{
	const struct pfk__lent *l;

	for (l = pfk__custody_first(&m->custody, 0); l != NULL;
	     l = pfk__custody_next(l)) {
		if (pfk__custody_find(&m->custody, slot, l->kind, &l->asked) ==
		    NULL)
			return false;
	}
	return !m->places[slot].broken;
}

/* The slot's turn has come; the next one boots meanwhile where that is harmless. */
static void
renew_two(struct pfk__master *m, int slot)
{
	bool founds = slot == 0 && !settled(m, slot);

	if (!settled(m, slot))
		renew(m, slot);
	/* After a take-over nobody has tried it: addresses may be new. */
	if (!founds && ++slot < m->workers && !settled(m, slot) &&
	    opens_none(m, slot))
		renew(m, slot);
}

void
pfk__reload_continue(struct pfk__master *m)
{
	const struct pfk__place *first = &m->places[0];

	if (m->reload == PFK__RELOAD_TRYING) {
		if (first->serving == NULL ||
		    first->serving->epoch != m->epoch) {
			renew(m, 0);
			return;
		}
		commit(m);
	}
	while (m->reload == PFK__RELOAD_ROLLING) {
		renew_two(m, m->rolling);
		if (!settled(m, m->rolling))
			return;
		next(m);
	}
}

/* the bound */

static int
bound_s(void)
{
	return (int)(pfk__reload_bound_ns / PFK_SECOND_NS);
}

static void
give_up_trial(struct pfk__master *m)
{
	char why[60];

	pfk__master_act(m, 0, PFK__DO_KILL_BOOTING);
	snprintf(why, sizeof(why), "it was not ready within %d s", bound_s());
	pfk__reload_abandon(m, why);
	pfk__master_step(m, 0, PFK__SLOT_DIED_BOOTING);
	pfk__master_step(m, 0, PFK__SLOT_KEEP);
}

static void
give_up_preparing(struct pfk__master *m)
{
	char why[100];

	pfk__prepare_cancel();
	snprintf(why, sizeof(why),
	    "its names were not looked up within %d s; see /etc/resolv.conf",
	    bound_s());
	pfk__reload_prepared(m, why);
}

static void
on_late(void *arg)
{
	struct pfk__master *m = arg;

	if (m->reload == PFK__RELOAD_PREPARING) {
		give_up_preparing(m);
	} else if (m->reload == PFK__RELOAD_TRYING) {
		give_up_trial(m);
	} else {
		m->places[m->rolling].late = true;
		pfk_log(PFK_WARNING,
		    "no new worker of slot %d was ready within %d s; the "
		    "reload goes on without it, and the slot is renewed as "
		    "soon as it can be",
		    m->rolling, bound_s());
		next(m);
	}
	pfk__master_wake(m);
}
