/*
 * cgroup.h: values of this process's control group.  cgroups(7).
 */
#ifndef PFK_BASE_CGROUP_H
#define PFK_BASE_CGROUP_H

#include <stddef.h>
#include <stdint.h>

/*
 * Of one controller, "memory" or "pids": the first line of the file in the group's
 * directory, without its end; -1: there is none.  list and root are
 * /proc/self/cgroup and /sys/fs/cgroup.
 */
int pfk__cgroup_read(const char *list, const char *root, const char *controller,
    const char *file, char *dst, size_t size);

/* How often the kernel has killed a process of the group for memory; or 0. */
uint64_t pfk__cgroup_oom_kills(const char *list, const char *root);

#endif
