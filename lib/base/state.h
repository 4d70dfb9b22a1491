/*
 * The state of a process.  Layer: base.
 */
#ifndef PFK_BASE_STATE_H
#define PFK_BASE_STATE_H

#include <sys/types.h>

/*
 * Its letter in proc(5): R runs or waits for a CPU, T is stopped.  '?': there is
 * no /proc, or no such process.
 */
char pfk__process_state(pid_t pid);

#endif
