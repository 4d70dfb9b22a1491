/*
 * cpus.c: how many CPUs this process may really use.
 *
 * Layer: base.  sched_getaffinity(2), cgroups(7).  A container sees all CPUs of
 * its host, and the quota of its cgroup limits it.
 */
#include "base/cpus.h"

#include <limits.h>
#include <prefork.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIRECTORY_SIZE (PATH_MAX + 512)

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

/* CPUs by the quota of one group's directory, or 0 where it sets none. */
static int
quota_in(const char *directory)
{
	char path[DIRECTORY_SIZE + 32];
	long long quota = -1, period = 0, n;

	snprintf(path, sizeof(path), "%s/cpu.max", directory);
	if (read_numbers(path, &quota, &period) < 2) {
		snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", directory);
		if (read_numbers(path, &quota, &period) < 1)
			return 0;
		snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", directory);
		if (read_numbers(path, &period, &period) < 1)
			return 0;
	}
	if (quota <= 0 || period <= 0)
		return 0;
	n = quota / period + (quota % period != 0);
	return n < INT_MAX ? (int)n : INT_MAX;
}

/* The smallest quota of a group and those above it. */
static int
quota_up(const char *mount, char *group)
{
	char directory[DIRECTORY_SIZE];
	int least = 0, n;

	for (;;) {
		char *slash = strrchr(group, '/');

		snprintf(directory, sizeof(directory), "%s%s", mount, group);
		n = quota_in(directory);
		if (n > 0 && (least == 0 || n < least))
			least = n;
		if (slash == NULL)
			return least;
		*slash = '\0';
	}
}

/* Whether "cpu" is one of the controllers; "cpuset" and "cpuacct" are others. */
static bool
has_cpu(const char *controllers)
{
	while (controllers != NULL) {
		size_t n = strcspn(controllers, ",");

		if (n == 3 && strncmp(controllers, "cpu", n) == 0)
			return true;
		controllers = controllers[n] != '\0' ? controllers + n + 1
						     : NULL;
	}
	return false;
}

/* By one line: "0::GROUP" of version 2, or "N:CONTROLLERS:GROUP" of version 1. */
static int
quota_of(char *line, const char *root)
{
	char mount[512], *names = strchr(line, ':');
	char *group = names != NULL ? strchr(names + 1, ':') : NULL;

	if (group == NULL)
		return 0;
	*names++ = *group++ = '\0';
	group[strcspn(group, "\n")] = '\0';
	if (*names == '\0')
		return quota_up(root, group);
	if (!has_cpu(names))
		return 0;
	/* Mounted by its name, or by all names of the line. */
	snprintf(mount, sizeof(mount), "%s/cpu", root);
	if (access(mount, F_OK) == -1)
		snprintf(mount, sizeof(mount), "%s/%s", root, names);
	return quota_up(mount, group);
}

int
pfk__cpus_quota(const char *list, const char *root)
{
	char *line = NULL;
	size_t size = 0;
	int least = 0;
	FILE *f = fopen(list, "re");

	if (f == NULL)
		return 0;
	while (getline(&line, &size, f) != -1) {
		int n = quota_of(line, root);

		if (n > 0 && (least == 0 || n < least))
			least = n;
	}
	free(line);
	fclose(f);
	return least;
}

int
pfk_cpus(void)
{
	int n = affinity();
	int q = pfk__cpus_quota("/proc/self/cgroup", "/sys/fs/cgroup");

	if (q > 0 && q < n)
		n = q;
	return n > 0 ? n : 1;
}
