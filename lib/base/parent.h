/*
 * parent.h: the parent of any process, by proc(5), and the end of one's own.
 */
#ifndef PFK_BASE_PARENT_H
#define PFK_BASE_PARENT_H

#include <sys/types.h>

/* 0: there is no such process; -1: proc(5) is not there. */
pid_t pfk__parent_of(pid_t pid);

/*
 * In a child after fork(2): let the kernel kill it when the thread that forked it ends;
 * if that has ended already, this call ends the child.  parent is the pid of its
 * process, from getpid(2) before the fork.
 */
void pfk__end_with(pid_t parent);

#endif
