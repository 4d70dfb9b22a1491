/*
 * use.c: mistakes in the use of this layer, each with one line in the log.
 *
 * Layer: process.
 */
#include "process/use.h"

#include <errno.h>
#include <sys/param.h>

#include "base/misuse.h"
#include "event/loop.h"
#include "net/listener.h"
#include "process/lock.h"

static bool in_service;
static struct pfk_loop *loop; /* the master's */

int
pfk__use_begin(const struct pfk_master_config *config,
    const struct pfk_hooks *hooks)
{
	if (config == NULL || hooks == NULL)
		return pfk__misuse(EINVAL, "pfk_master_run: no %s",
		    config == NULL ? "configuration" : "hooks");
	if (hooks->worker_init == NULL)
		return pfk__misuse(EINVAL, "pfk_master_run: no worker_init");
	if (config->workers < 1 || config->workers > PFK_WORKERS_MAX)
		return pfk__misuse(EINVAL,
		    "pfk_master_run: %d workers; it is 1 to %d",
		    config->workers, PFK_WORKERS_MAX);
	if (!pfk__loop_knows(config->poller))
		return pfk__misuse(EINVAL,
		    "pfk_master_run: the poller is %s; it is " PFK__BACKENDS,
		    config->poller);
	if (in_service)
		return pfk__misuse(EBUSY,
		    "pfk_master_run: it runs already, in this process or in "
		    "its master");
	in_service = true;
	return 0;
}

void
pfk__use_bound(struct pfk_master_config *config)
{
	const uint64_t longest = PFK__LOCK_ORPHAN_MAX_S * PFK_SECOND_NS;
	uint64_t *const times[] = {&config->shutdown_ns, &config->drain_ns,
	    &config->stop_delay_ns, &config->hang_ns, &config->orphan_ns};

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		*times[i] = MIN(*times[i], longest);
}

void
pfk__use_end(void)
{
	in_service = false;
}

void
pfk__use_loop(struct pfk_loop *l)
{
	loop = l;
}

struct pfk_loop *
pfk_master_loop(void)
{
	return loop;
}

/* The option of a connection that a listener's options have, or NULL. */
static const char *
option_of_connection(const struct pfk_sockopts *o)
{
	if (o == NULL)
		return NULL;
	if (o->reuse_port != PFK_UNSET)
		return "reuse_port";
	if (o->quickack != PFK_UNSET)
		return "quickack";
	return o->nodelay != PFK_UNSET ? "nodelay" : NULL;
}

int
pfk__use_listen(const struct pfk_worker *w, const struct pfk_listen *want,
    size_t n)
{
	char name[PFK_ADDR_SIZE];
	const char *option;

	if (w->listened)
		return pfk__misuse(EBUSY,
		    "pfk_worker_listen: it was called before; one call opens "
		    "all listeners of a worker");
	if (n == 0)
		return pfk__misuse(EINVAL, "pfk_worker_listen: no listener");
	for (size_t i = 0; i < n; i++) {
		option = option_of_connection(want[i].options);
		if (option != NULL)
			return pfk__misuse(EINVAL,
			    "pfk_worker_listen: %s is no option of a listener; "
			    "leave it PFK_UNSET, and see struct "
			    "pfk_server_options",
			    option);
		for (size_t k = 0; k < i; k++) {
			if (want[k].kind == want[i].kind &&
			    pfk_addr_equal(&want[k].addr, &want[i].addr))
				return pfk__misuse(EINVAL,
				    "pfk_worker_listen: %s %s is there twice",
				    pfk__kind_name(want[i].kind),
				    pfk_addr_format(name, &want[i].addr));
		}
	}
	return 0;
}
