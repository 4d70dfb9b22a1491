/*
 * reload.c: replace the workers slot by slot.
 *
 * Layer: process.  The first slot's successor tries the new configuration for
 * all: where it does not come up, nothing has changed and nothing will.
 */
#include <stdlib.h>

#include "process/master.h"

void
pfk__reload_begin(struct pfk__master *m)
{
	struct pfk_master_config config = m->config;

	m->reload_wanted = false;
	if (m->hooks->on_reload != NULL &&
	    m->hooks->on_reload(&config, m->arg) == -1) {
		pfk_log(PFK_ERROR, "reload refused; nothing has changed");
		return;
	}
	pfk_log(PFK_INFO, "reloading");
	m->old_config = m->config;
	m->config = config;
	m->epoch++;
	m->reload = PFK__RELOAD_TRYING;
	m->rolling = 0;
	pfk__master_step(m, 0, PFK__SLOT_RENEW);
}

void
pfk__reload_abandon(struct pfk__master *m, const char *why)
{
	m->config = m->old_config;
	m->reload = PFK__RELOAD_SETTLED;
	if (m->hooks->reload_done != NULL)
		m->hooks->reload_done(false, m->arg);
	pfk_log(PFK_ERROR,
	    "reload failed: the new worker did not start: %s; nothing has "
	    "changed",
	    why);
}

static void
commit(struct pfk__master *m)
{
	m->reload = PFK__RELOAD_ROLLING;
	if (m->config.workers != m->workers &&
	    m->hooks->workers_changed != NULL)
		m->hooks->workers_changed(m->config.workers, m->arg);
	m->workers = m->config.workers;
	pfk__watch_start(m);
	if (m->hooks->reload_done != NULL)
		m->hooks->reload_done(true, m->arg);
}

/* Whether the slot is done with: renewed, or failing on its own account. */
static bool
settled(const struct pfk__master *m, const struct pfk__place *p)
{
	if (p->serving != NULL && p->serving->epoch == m->epoch)
		return true;
	return p->slot.state == PFK__SLOT_EMPTY ||
	    p->slot.state == PFK__SLOT_BACKOFF ||
	    (p->slot.renew && p->slot.failures > 0);
}

void
pfk__reload_continue(struct pfk__master *m)
{
	struct pfk__place *p = &m->places[m->rolling];

	if (m->reload == PFK__RELOAD_TRYING) {
		if (p->serving == NULL || p->serving->epoch != m->epoch)
			return;
		commit(m);
	}
	while (settled(m, p)) {
		if (++m->rolling >= m->workers) {
			m->reload = PFK__RELOAD_SETTLED;
			pfk__adopt_prune(m);
			pfk_log(PFK_INFO, "reloaded: %d worker%s", m->workers,
			    m->workers == 1 ? "" : "s");
			return;
		}
		p = &m->places[m->rolling];
		if (p->serving != NULL && p->serving->epoch != m->epoch &&
		    p->slot.state == PFK__SLOT_SERVING) {
			pfk__master_step(m, m->rolling, PFK__SLOT_RENEW);
			return;
		}
	}
}
