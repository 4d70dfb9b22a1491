/*
 * fds.h: descriptors: how they are made, and closed in a forked child.
 */
#ifndef PFK_BASE_FDS_H
#define PFK_BASE_FDS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/*
 * Close every descriptor above standard error but the n in keep, which gets
 * sorted; negative ones in it are ignored.
 */
void pfk__close_others(int *keep, size_t n);

/*
 * Close every descriptor above standard error but the log's, those of
 * pfk_keep_fd, of an upgrade and of the service manager, because the starting process may have left
 * some open.
 */
void pfk__close_inherited(void);

/* An error of a seccomp(2) filter: it denies the call, with any arguments. */
static inline bool
pfk__is_denied(int error)
{
	return error == EPERM || error == ENOSYS;
}

/* accept4(2), also where a sandbox denies it and allows accept(2). */
int pfk__accept(int fd, struct sockaddr *addr, socklen_t *len, int flags);

/* -1 with errno: this process may call neither accept4(2) nor accept(2). */
int pfk__may_accept(void);

#endif
