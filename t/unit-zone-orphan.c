/*
 * A worker ends while it has the lock of a zone, and gets no successor: its keeper
 * gives the lock back, also where the master is dead, and the master, where the keeper
 * is.  Where both are, another worker takes it.
 */
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "event/zone.h"
#include "service.h"
#include "tap.h"
#include "tree.h"

static struct pfk_zone *zone;

static void
end_locked(void *arg, int signo)
{
	(void)arg;
	(void)signo;
	for (uint32_t i = 0; i < zone->n_stripes; i++)
		pfk__stripe_lock(zone, i);
	_exit(1);
}

static void
stay_locked(void *arg, int signo)
{
	(void)arg;
	(void)signo;
	for (uint32_t i = 0; i < zone->n_stripes; i++)
		pfk__stripe_lock(zone, i);
	for (;;)
		pause();
}

static void
nothing(void *arg)
{
	(void)arg;
}

/* Its boot is over. */
static void
serve(void *arg)
{
	pid_t pid = getpid();

	(void)arg;
	pfk_zone_put(zone, "serves", 6, &pid, sizeof(pid), PFK_ZONE_ALWAYS,
	    NULL);
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	struct pfk_loop *l = pfk_worker_loop(w);

	(void)arg;
	if (pfk_signal_add(l, SIGUSR1, end_locked, NULL) == NULL ||
	    pfk_signal_add(l, SIGUSR2, stay_locked, NULL) == NULL)
		return -1;
	if (pfk_later(l, 0, serve, NULL) == -1)
		return -1;
	return pfk_later(l, 600 * PFK_SECOND_NS, nothing, NULL);
}

static bool
serves(pid_t worker)
{
	pid_t pid = 0;

	for (int i = 0; i < 1000 && pid != worker; i++) {
		pfk_zone_get(zone, "serves", 6, &pid, sizeof(pid), NULL);
		if (pid != worker)
			usleep(10000);
	}
	return pid == worker;
}

/* Whether all stripes are locked, or none is, within ten seconds. */
static bool
are_locked(bool all)
{
	for (int i = 0; i < 1000; i++) {
		uint32_t locked = 0;

		for (uint32_t k = 0; k < zone->n_stripes; k++)
			locked += __atomic_load_n(&zone->stripes[k].owner,
				      __ATOMIC_ACQUIRE) != 0;
		if (locked == (all ? zone->n_stripes : 0))
			return true;
		usleep(10000);
	}
	return false;
}

static bool
has_ended(pid_t pid)
{
	for (int i = 0; i < 1000 && kill(pid, 0) == 0; i++)
		usleep(10000);
	return kill(pid, 0) == -1;
}

static pid_t
parent_of(pid_t pid)
{
	char at[64];
	int parent = 0;
	FILE *f;

	snprintf(at, sizeof(at), "/proc/%d/stat", (int)pid);
	f = fopen(at, "re");
	if (f == NULL || fscanf(f, "%*d (%*[^)]) %*c %d", &parent) != 1)
		skip_all("no /proc");
	fclose(f);
	return parent;
}

static void
test_keeper_first(void)
{
	pid_t worker = service_worker(0, 0), keeper = parent_of(worker);
	size_t at = service_log_size();
	char byte;

	kill(worker, SIGUSR2);
	ok(are_locked(true), "a worker has all locks");
	is_int(kill(keeper, SIGKILL), 0, "its keeper dies");
	ok(has_ended(keeper), "and has ended");
	is_int(kill(worker, SIGKILL), 0, "then it dies, too");
	ok(are_locked(false), "the master gives the locks back");
	ok(service_wait(at, "started worker 0") != 0, "and starts a worker");
	is_int(pfk_zone_get(zone, "k", 1, &byte, 1, NULL), 0,
	    "the zone is whole");
}

static void
test_all_dead(const struct pfk_hooks *hooks)
{
	pid_t worker, keeper, other;

	service_start(hooks, 2);
	service_wait(0, "ready: 2 worker");
	worker = service_worker(0, 0);
	other = service_worker(0, 1);
	keeper = parent_of(worker);
	kill(worker, SIGUSR2);
	ok(are_locked(true), "a worker has all locks");
	kill(keeper, SIGKILL);
	ok(has_ended(keeper), "its keeper has ended");
	service_end(SIGKILL);
	kill(worker, SIGKILL);
	ok(has_ended(worker), "and it, and the master");
	kill(other, SIGUSR1);
	ok(has_ended(other), "another worker gets all locks");
	ok(are_locked(false), "and ends, and its keeper gives them back");
}

int
main(void)
{
	static const struct pfk_hooks hooks = {.worker_init = worker_init};
	pid_t worker;
	size_t at;
	char byte;

	service_place("control");
	service_orphan_ns = 60 * PFK_SECOND_NS;
	zone = pfk_zone_open(NULL, 1 << 20);
	service_start(&hooks, 1);
	service_wait(0, "ready: 1 worker");
	is_int(pfk_zone_put(zone, "k", 1, "v", 1, PFK_ZONE_ALWAYS, NULL), 0,
	    "the zone is in use");
	at = service_log_size();
	test_keeper_first();
	worker = service_worker(at, 0);
	/* One that boots would end with its master. */
	ok(serves(worker), "the new worker serves");
	service_end(SIGKILL);
	is_int(kill(worker, SIGUSR1), 0, "the worker outlives its master");
	ok(has_ended(worker), "and ends with all locks");
	ok(are_locked(false), "which its keeper gives back");
	is_int(pfk_zone_get(zone, "k", 1, &byte, 1, NULL), 0,
	    "the zone is whole");
	test_all_dead(&hooks);
	tree_remove();
	return done_testing();
}
