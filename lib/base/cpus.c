/*
 * cpus.c: how many CPUs this process may really use.
 *
 * Layer: base.  sched_getaffinity(2), cgroups(7).  A container sees all CPUs
 * of its host; what limits it is its cgroup's quota.
 */
#include <prefork.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
affinity(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == -1)
		return 1;
	return CPU_COUNT(&set);
}

/* Read up to two numbers of a file; "max" counts as -1. */
static int
read_numbers(const char *path, long long *a, long long *b)
{
	char text[64];
	FILE *f = fopen(path, "re");
	int n = 0;

	if (f == NULL)
		return 0;
	if (fgets(text, sizeof(text), f) != NULL) {
		if (strncmp(text, "max", 3) == 0) {
			*a = -1;
			n = 1;
		} else {
			n = sscanf(text, "%lld %lld", a, b);
		}
	}
	fclose(f);
	return n;
}

/* CPUs by the quota of one cgroup folder, or 0 where it sets none. */
static int
quota_in(const char *folder)
{
	char path[512];
	long long quota = -1, period = 0;

	snprintf(path, sizeof(path), "%s/cpu.max", folder);
	if (read_numbers(path, &quota, &period) < 2) {
		snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", folder);
		if (read_numbers(path, &quota, &period) < 1)
			return 0;
		snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", folder);
		if (read_numbers(path, &period, &period) < 1)
			return 0;
	}
	if (quota <= 0 || period <= 0)
		return 0;
	return (int)((quota + period - 1) / period);
}

/* The smallest quota of a group and those above it. */
static int
quota_up(const char *mount, char *group)
{
	char folder[400];
	int least = 0, n;

	for (;;) {
		char *slash = strrchr(group, '/');

		snprintf(folder, sizeof(folder), "%s%s", mount, group);
		n = quota_in(folder);
		if (n > 0 && (least == 0 || n < least))
			least = n;
		if (slash == NULL)
			return least;
		*slash = '\0';
	}
}

static int
quota(void)
{
	char line[400];
	int least = 0;
	FILE *f = fopen("/proc/self/cgroup", "re");

	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL) {
		char *names = strchr(line, ':');
		char *group = names != NULL ? strchr(names + 1, ':') : NULL;
		const char *mount = "/sys/fs/cgroup";
		int n;

		if (group == NULL)
			continue;
		*group++ = '\0';
		group[strcspn(group, "\n")] = '\0';
		if (names[1] != '\0') {
			if (strstr(names + 1, "cpu") == NULL)
				continue;
			mount = "/sys/fs/cgroup/cpu";
		}
		n = quota_up(mount, group);
		if (n > 0 && (least == 0 || n < least))
			least = n;
	}
	fclose(f);
	return least;
}

int
pfk_cpus(void)
{
	int n = affinity(), q = quota();

	if (q > 0 && q < n)
		n = q;
	return n > 0 ? n : 1;
}
