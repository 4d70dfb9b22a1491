/*
 * parent.h: the parent of any process, by proc(5).
 */
#ifndef PFK_BASE_PARENT_H
#define PFK_BASE_PARENT_H

#include <sys/types.h>

/* 0: there is no such process; -1: proc(5) is not there. */
pid_t pfk__parent_of(pid_t pid);

#endif
