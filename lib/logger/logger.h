/*
 * logger.h: the log process of a service, and the master's side of it.
 *
 * The master has a pipe to it, and so has each slot's keeper together with its
 * worker; the log process reads all pipes and alone writes to the target.  A
 * pipe says which slot a line is from, because the master alone names the
 * pipe's slot to the log process: no worker can log as the master or as another
 * slot.  Writes to a pipe never wait; the writers count the lines that do not
 * fit in a page that they share with the log process only, and the log process
 * reports them.
 *
 * The log process is no child of the master's and ignores signals.  It survives
 * the master and ends with the last writer.  The master keeps the reading ends
 * of all pipes: if the log process dies, a new one goes on with them, and the
 * writers do not notice.  A rotation concerns master and log process alone.
 */
#ifndef PFK_LOGGER_LOGGER_H
#define PFK_LOGGER_LOGGER_H

#include <prefork.h>
#include <sys/types.h>

struct pfk__logger;

/*
 * Start the log process for the log that is open; the caller writes through it
 * from now on, under the name that pfk_log_set_process set.  NULL with errno:
 * *step is the system call that failed.
 */
struct pfk__logger *pfk__logger_start(struct pfk_loop *l, const char **step);

/*
 * Wait until all lines are written, but not for a slow reader, and let the log
 * process go.  The caller writes directly again.
 */
void pfk__logger_stop(struct pfk__logger **lg);

/*
 * A pipe for a process that is to be forked: its index, or -1.  Then either
 * _join in the child, and _announce in the parent; or _cancel.
 */
int pfk__logger_prepare(struct pfk__logger *lg);
void pfk__logger_join(struct pfk__logger *lg, int index);
void pfk__logger_announce(struct pfk__logger *lg, int index, const char *name,
    pid_t pid);
void pfk__logger_cancel(struct pfk__logger *lg, int index);

/* Its writing end; in the child, before _join, with another number, too. */
int pfk__logger_writer(const struct pfk__logger *lg, int index);
void pfk__logger_move(struct pfk__logger *lg, int index, int fd);

/* After a successful pfk_log_reopen in the master. */
void pfk__logger_reopened(struct pfk__logger *lg);

#endif
