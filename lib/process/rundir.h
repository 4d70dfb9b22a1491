/*
 * rundir.h: the directories in which masters keep their control sockets.
 */
#ifndef PFK_PROCESS_RUNDIR_H
#define PFK_PROCESS_RUNDIR_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Write directory number i of those that a master may use, the best first, into
 * dst (PFK_CONTROL_SIZE bytes); "" where this process does not have it.  False:
 * there are no more.
 */
bool pfk__rundir_get(int i, char *dst);

/* Whether it is for the sockets of all services, and for nothing else. */
bool pfk__rundir_is_shared(int i);

/*
 * Make the directory number i where it is missing, and check that only root and
 * this user can change its contents.  -1: errno, and *errstr says which check
 * failed or is NULL.
 */
int pfk__rundir_prepare(int i, const char *path, const char **errstr);

/*
 * Why user cannot reach a socket by its path, or NULL: a directory on the way is closed
 * to all but another user.  A group's right counts as one of user, too, because its bit
 * also stands for an access control list.  The text is valid until the next call.
 */
const char *pfk__rundir_closed(const char *path, uid_t user);

#endif
