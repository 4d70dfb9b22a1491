/*
 * cgroup.c: values of this process's control group.
 *
 * Layer: base.  cgroups(7): version 2 has one group for all controllers, version
 * 1 one for each.
 */
#include "base/cgroup.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define DIRECTORY_SIZE (PATH_MAX + 512)

/* Whether the controller is one of "a,b,c". */
static bool
has(const char *controllers, const char *controller)
{
	size_t len = strlen(controller);

	while (controllers != NULL) {
		size_t n = strcspn(controllers, ",");

		if (n == len && strncmp(controllers, controller, n) == 0)
			return true;
		controllers = controllers[n] != '\0' ? controllers + n + 1
						     : NULL;
	}
	return false;
}

/* By a line "0::GROUP" of version 2, or "N:CONTROLLERS:GROUP" of version 1. */
static bool
directory_of(char *line, const char *root, const char *controller, char *dst)
{
	char *names = strchr(line, ':');
	char *group = names != NULL ? strchr(names + 1, ':') : NULL;

	if (group == NULL)
		return false;
	*names++ = *group++ = '\0';
	group[strcspn(group, "\n")] = '\0';
	if (*names != '\0' && !has(names, controller))
		return false;
	snprintf(dst, DIRECTORY_SIZE, "%s%s%s%s", root,
	    *names != '\0' ? "/" : "", *names != '\0' ? controller : "", group);
	return true;
}

static FILE *
open_file(const char *list, const char *root, const char *controller,
    const char *file)
{
	char line[PATH_MAX], directory[DIRECTORY_SIZE];
	char path[DIRECTORY_SIZE + 64];
	FILE *f = fopen(list, "re"), *found = NULL;

	while (f != NULL && found == NULL &&
	    fgets(line, sizeof(line), f) != NULL) {
		if (!directory_of(line, root, controller, directory))
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, file);
		found = fopen(path, "re");
	}
	if (f != NULL)
		fclose(f);
	return found;
}

int
pfk__cgroup_read(const char *list, const char *root, const char *controller,
    const char *file, char *dst, size_t size)
{
	FILE *f = open_file(list, root, controller, file);
	bool good = f != NULL && fgets(dst, (int)size, f) != NULL;

	if (f != NULL)
		fclose(f);
	if (!good)
		return -1;
	dst[strcspn(dst, "\n")] = '\0';
	return 0;
}

uint64_t
pfk__cgroup_oom_kills(const char *list, const char *root)
{
	static const char *const files[] = {"memory.events",
	    "memory.oom_control"};
	unsigned long long n = 0;
	char line[128];

	for (int i = 0; i < 2; i++) {
		FILE *f = open_file(list, root, "memory", files[i]);

		while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
			if (sscanf(line, "oom_kill %llu", &n) == 1)
				break;
		}
		if (f != NULL)
			fclose(f);
	}
	return n;
}
