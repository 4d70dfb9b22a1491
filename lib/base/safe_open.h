/*
 * safe_open.h: open a file by a path of which other users may control a part.
 */
#ifndef PFK_BASE_SAFE_OPEN_H
#define PFK_BASE_SAFE_OPEN_H

#include <sys/types.h>

/*
 * open(2) that never follows a symbolic link as the last component, nor one
 * that stands in a directory which users other than root and this one may
 * change: ELOOP, or ENOTDIR for a directory.  No race is left between the look
 * at a directory and its use.
 */
int pfk__safe_open(const char *path, int flags, mode_t mode);

/*
 * chmod(2) of a socket that this process has bound; where another user has put
 * something else in its place, that stays as it is, and errno is EPERM.
 */
int pfk__safe_chmod(const char *path, mode_t mode);

#endif
