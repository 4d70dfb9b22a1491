/*
 * cpus.c: never more than the affinity mask allows, never less than one, and the
 * quota of the right control group.
 */
#include <prefork.h>
#include <sched.h>
#include <stdio.h>

#include "base/cpus.h"

#include "tap.h"
#include "tree.h"

static const char *root;

static int
quota(const char *list)
{
	char path[200];

	tree_put("list", list);
	snprintf(path, sizeof(path), "%s/list", root);
	return pfk__cpus_quota(path, root);
}

static void
test_quotas(void)
{
	char long_line[1000];

	root = tree_make();
	/* The quota of the set is a trap: no such file is the set's. */
	tree_put("cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n");
	tree_put("cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
	tree_put("cpu,cpuacct/set/cpu.cfs_quota_us", "100000\n");
	tree_put("cpu,cpuacct/set/cpu.cfs_period_us", "100000\n");
	is_int(quota("4:cpu,cpuacct:/a\n"), 3, "version 1, rounded up");
	tree_put("cpu/a/cpu.cfs_quota_us", "400000\n");
	tree_put("cpu/a/cpu.cfs_period_us", "100000\n");
	tree_put("cpu/set/cpu.cfs_quota_us", "100000\n");
	tree_put("cpu/set/cpu.cfs_period_us", "100000\n");
	is_int(quota("4:cpuacct,cpu:/a/b\n"), 4, "cpu as the last name");
	is_int(quota("7:cpuset:/set\n3:cpuacct:/set\n4:cpu:/a\n"), 4,
	    "cpuset and cpuacct are others");
	is_int(quota("7:cpuset:/set\n"), 0, "none without cpu");
	is_int(quota("1:name=cpu:/a\n"), 0, "a hierarchy with a name is none");
	tree_put("b/cpu.max", "150000 100000\n");
	is_int(quota("0::/b/c/d\n"), 2, "version 2, from a group above");
	tree_put("b/cpu.max", "max 100000\n");
	is_int(quota("0::/b\n"), 0, "version 2 without a bound");
	tree_put("b/cpu.max", "9223372036854775807 1\n");
	ok(quota("0::/b\n") > 0, "version 2 with a huge one");
	snprintf(long_line, sizeof(long_line),
	    "0::/%0900d:cpu:/set\n4:cpu:/a\n", 0);
	is_int(quota(long_line), 4, "a long line is one line");
	is_int(quota("garbage\n\n:\n"), 0, "garbage is no group");
	tree_remove();
}

int
main(void)
{
	cpu_set_t all, one;
	int cpu = 0, n = pfk_cpus();

	test_quotas();
	sched_getaffinity(0, sizeof(all), &all);
	ok(n >= 1, "at least one");
	ok(n <= CPU_COUNT(&all), "at most the affinity mask's: %d of %d", n,
	    CPU_COUNT(&all));
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) == -1) {
		skip(2, "the affinity mask cannot be set");
		return done_testing();
	}
	is_int(pfk_cpus(), 1, "pinned to one");
	sched_setaffinity(0, sizeof(all), &all);
	is_int(pfk_cpus(), n, "as before");
	return done_testing();
}
