/*
 * master.h: a master with one worker, which never runs: it waits for orphans, so
 * that orders are noted, and nothing is started.
 */
#ifndef FUZZ_MASTER_H
#define FUZZ_MASTER_H

#include <prefork.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "process/channel.h"
#include "process/control.h"
#include "process/history.h"
#include "process/master.h"
#include "process/takeover.h"

static inline struct pfk__master *
fuzz_master_new(void)
{
	static const struct pfk_hooks hooks = {0};
	struct pfk__master *m = calloc(1, sizeof(*m));

	pfk_log_set_level(PFK_ERROR);
	if (m == NULL)
		abort();
	m->hooks = &hooks;
	m->config.workers = m->workers = m->places_used = m->places_top = 1;
	m->awaiting = true;
	m->inherited.standin = m->inherited.history = -1;
	LIST_INIT(&m->children);
	m->loop = pfk_loop_new(NULL);
	m->control = calloc(1, sizeof(*m->control));
	if (m->loop == NULL || m->control == NULL)
		abort();
	pfk__custody_init(&m->custody, m->loop, pfk__adopt_queued, m);
	m->control->master = m;
	m->control->instance.fd = m->control->instance.lock_fd = -1;
	TAILQ_INIT(&m->control->clients);
	return m;
}

/* fd gets the worker's end of its channel. */
static inline struct pfk__child *
fuzz_child_new(struct pfk__master *m, int *fd)
{
	struct pfk__child *c;
	int fds[2];

	if (pfk__channel_pair(fds) == -1)
		abort();
	*fd = fds[1];
	c = pfk__child_found(m, 0, 1, fds[0]);
	if (c == NULL)
		abort();
	c->version = PFK__KNOCK_VERSION;
	return c;
}

static inline void
fuzz_master_free(struct pfk__master *m)
{
	m->places[0] = (struct pfk__place){.past = m->places[0].past};
	while (!LIST_EMPTY(&m->children))
		pfk__child_drop(LIST_FIRST(&m->children));
	pfk__custody_clear(&m->custody);
	pfk__control_close(m);
	pfk_timer_cancel(&m->await);
	pfk_timer_cancel(&m->tick);
	pfk_timer_cancel(&m->kill);
	pfk_timer_cancel(&m->stop_delay);
	pfk__notify_close(m);
	pfk__soon_cancel(m->loop, &m->maintain);
	while (!TAILQ_EMPTY(&m->control->clients))
		pfk__client_drop(TAILQ_FIRST(&m->control->clients));
	pfk_loop_free(m->loop);
	free(m->control);
	pfk__history_free(m);
	pfk__deaths_free(&m->deaths);
	free(m);
}

#endif
