/*
 * cpus.h: the part of cpus.c that a test calls.
 */
#ifndef PFK_BASE_CPUS_H
#define PFK_BASE_CPUS_H

/*
 * CPUs by the smallest quota of the groups in list, a file like
 * /proc/self/cgroup; their directories are below root; 0 where none is set.
 */
int pfk__cpus_quota(const char *list, const char *root);

#endif
