/*
 * cpus.c: never more than the affinity mask allows, never less than one.
 */
#include <prefork.h>
#include <sched.h>

#include "tap.h"

int
main(void)
{
	cpu_set_t all, one;
	int cpu = 0, n = pfk_cpus();

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
