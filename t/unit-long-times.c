/*
 * process/use.c: times of a configuration that no clock reaches. A sum with one of
 * them must not overflow and be over at once.
 */
#include <prefork.h>
#include <signal.h>
#include <unistd.h>

#include "process/use.h"
#include "service.h"
#include "tap.h"
#include "tree.h"

#define YEAR_NS (366 * 86400 * PFK_SECOND_NS)

static int
worker_init(struct pfk_worker *w, void *arg)
{
	(void)w;
	(void)arg;
	return 0;
}

static const struct pfk_hooks hooks = {.worker_init = worker_init};

static void
test_bound(void)
{
	struct pfk_master_config c = {.shutdown_ns = 1,
	    .stop_delay_ns = UINT64_MAX,
	    .drain_ns = UINT64_MAX,
	    .hang_ns = UINT64_MAX - PFK_SECOND_NS,
	    .orphan_ns = YEAR_NS};

	pfk__use_bound(&c);
	is_int((int64_t)c.shutdown_ns, 1, "a short time stays");
	is_int((int64_t)c.orphan_ns, (int64_t)YEAR_NS, "so does a year");
	is_int((int64_t)c.stop_delay_ns, (int64_t)(10 * YEAR_NS),
	    "the longest is ten years");
	is_int((int64_t)c.drain_ns, (int64_t)(10 * YEAR_NS), "of a drain");
	is_int((int64_t)c.hang_ns, (int64_t)(10 * YEAR_NS), "of a hang");
}

/* The workers of a master that is killed wait for the next one. */
static void
test_orphans(void)
{
	service_place("long");
	service_orphan_ns = UINT64_MAX;
	service_start(&hooks, 1);
	ok(service_wait(0, "ready: 1 worker") != 0, "ready");
	service_end(SIGKILL);
	ok(service_wait(0, "serving on for 3.16224e+08 s") != 0,
	    "the worker waits for ten years");
	service_start(&hooks, 1);
	if (!ok(service_wait(0, "took over") != 0,
		"the next one takes it over"))
		diag("%s", service_log());
	is_int(service_end(SIGTERM), 0, "end");
}

int
main(void)
{
	test_bound();
	test_orphans();
	tree_remove();
	return done_testing();
}
