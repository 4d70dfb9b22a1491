/*
 * subprocess.h: the subprocesses of the program's, as the master sees them.
 */
#ifndef PFK_PROCESS_SUBPROCESS_H
#define PFK_PROCESS_SUBPROCESS_H

#include <sys/types.h>

/* The master reaps every child: one of the program's may be among them. */
void pfk__subprocess_reaped(pid_t pid, int status);

#endif
