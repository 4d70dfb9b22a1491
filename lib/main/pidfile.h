/*
 * pidfile.h: a file that names the running master, and can be trusted.
 *
 * The lock is a record lock of fcntl(2), because the kernel tells its owner
 * (F_GETLK), and asking takes no lock.  It belongs to the process: a child of
 * fork(2) does not have it, exec(2) keeps it while the descriptor stays open,
 * and close(2) of any descriptor of the file gives it up.  So nobody else in
 * the master may open the file.
 */
#ifndef PFK_MAIN_PIDFILE_H
#define PFK_MAIN_PIDFILE_H

#include <stddef.h>
#include <sys/types.h>

/* Room for any message of these functions: a path and its trouble. */
#define PFK__PIDFILE_ERROR 4400

struct pfk__pidfile;

/*
 * Lock the file for this process, and make it where it is missing; it is empty
 * then.  NULL with the exit status and the reason: EX_TEMPFAIL when a master
 * has it, EX_CANTCREAT when it cannot be had or trusted.
 */
struct pfk__pidfile *pfk__pidfile_lock(const char *path, int *status,
    char *err);

/* Write this process's number: 0, or an exit status with the reason. */
int pfk__pidfile_publish(struct pfk__pidfile *f, char *err);

/* Remove the file, if the path still leads to it, and give up the lock. */
void pfk__pidfile_end(struct pfk__pidfile *f);

/*
 * Send signo to the master that has locked the file.  0, or an exit status with
 * the reason: EX_UNAVAILABLE without a running master, EX_NOPERM for a file that
 * somebody else may have made, or if this user may not signal the master.
 */
int pfk__pidfile_signal(const char *path, int signo, char *err);

#endif
