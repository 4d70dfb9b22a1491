/*
 * daemon.h: detaching from the terminal, and commands to a running master.
 */
#ifndef PFK_MAIN_DAEMON_H
#define PFK_MAIN_DAEMON_H

/*
 * Detach: the caller goes on in a child without a terminal, and its parent
 * waits.  Returns a descriptor for pfk__daemon_ready in the child; the parent exits
 * with 0 when that is called, else with the child's status.  -1: not detached.
 */
int pfk__daemon_detach(void);
void pfk__daemon_ready(int fd);

/* Put /dev/null in the place of descriptors 0 to last. */
void pfk__daemon_close_stdio(int last);

/*
 * Send the master of the locked pid file a command: stop, quit, reload,
 * reopen or upgrade.  Returns an exit status; err (PFK__PIDFILE_ERROR bytes) gets the reason.
 */
int pfk__daemon_signal(const char *pid_file, const char *command, char *err);

#endif
