/*
 * cpus.h: what a test needs of cpus.c.
 */
#ifndef PFK_BASE_CPUS_H
#define PFK_BASE_CPUS_H

/*
 * CPUs by the smallest quota of the groups in list, a file as /proc/self/cgroup,
 * whose directories are below root; 0 where none is set.
 */
int pfk__cpus_quota(const char *list, const char *root);

#endif
