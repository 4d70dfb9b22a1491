/*
 * reload.c: replace the workers slot by slot.
 *
 * Layer: process.  The first slot's successor tries the new configuration for
 * all: where it does not come up, nothing has changed and nothing will.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "process/control.h"
#include "process/master.h"

/* What on_reload says of the configuration that it reads. */
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

static bool
is_refused(struct pfk__master *m, struct pfk_master_config *config)
{
	said.refused[0] = said.changes[0] = '\0';
	if (m->hooks->on_reload == NULL ||
	    m->hooks->on_reload(config, m->arg) != -1)
		return false;
	pfk_log(PFK_ERROR, "reload refused; nothing has changed");
	pfk__control_reload_ended(m, EX_CONFIG, "%s",
	    said.refused[0] != '\0' ? said.refused
				    : "the service refused the reload");
	return true;
}

void
pfk__reload_begin(struct pfk__master *m)
{
	struct pfk_master_config config = m->config;

	m->reload_wanted = false;
	pfk__control_reload_begun(m);
	if (is_refused(m, &config))
		return;
	pfk__control_reload_changes(m, said.changes);
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
	pfk__control_reload_ended(m, EX_UNAVAILABLE,
	    "the new worker did not start: %s; nothing has changed", why);
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

static void
finish(struct pfk__master *m)
{
	int failing = 0;

	pfk__master_title(m);
	pfk_log(PFK_INFO, "reloaded: %d worker%s", m->workers,
	    m->workers == 1 ? "" : "s");
	for (int i = 0; i < m->workers; i++)
		failing += m->places[i].serving == NULL ||
		    m->places[i].serving->epoch != m->epoch;
	if (failing > 0)
		pfk__control_reload_ended(m, EX_SOFTWARE,
		    "%d of %d workers do not serve the new configuration yet; "
		    "the log has the cause",
		    failing, m->workers);
	else
		pfk__control_reload_ended(m, EX_OK, "reloaded: %d worker%s",
		    m->workers, m->workers == 1 ? "" : "s");
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
			finish(m);
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
