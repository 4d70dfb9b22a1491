/*
 * exit.h: how a process that the master has forked ends.
 *
 * It calls exit(3), so that its own output is flushed and the handlers that it
 * has registered itself run (atexit(3)); those that main registered are the
 * master's, and do not.
 */
#ifndef PFK_PROCESS_EXIT_H
#define PFK_PROCESS_EXIT_H

/* In the master, before its first fork.  -1 with errno. */
int pfk__exit_prepare(void);

/* In the child. */
void pfk__exit_forked(void);

#endif
