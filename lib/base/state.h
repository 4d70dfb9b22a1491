/*
 * The state of a process.  Layer: base.
 */
#ifndef PFK_BASE_STATE_H
#define PFK_BASE_STATE_H

#include <sys/types.h>

#include <stdbool.h>

/*
 * Its letter in proc(5): R runs or waits for a CPU, T is stopped.  '?': there is
 * no /proc, or no such process.
 */
char pfk__process_state(pid_t pid);

/*
 * Whether it has ended or ends: one that was killed goes on holding its descriptors
 * until it has had a CPU.
 */
bool pfk__process_ends(pid_t pid);

/* The user whose rights it has; -1: it is not known. */
uid_t pfk__process_user(pid_t pid);

#endif
