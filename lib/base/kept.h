/*
 * kept.h: descriptors of the program that the workers of its service have too.
 *
 * The program may hold descriptors that it does not know: syslog(3) and stdio
 * have their own.  So each one that is open when the service starts is kept,
 * but for those that the library or the program excepts.  An entry names the
 * file by device and inode: the number of a descriptor that was closed since is
 * perhaps another file's, and then it is not kept.
 */
#ifndef PFK_BASE_KEPT_H
#define PFK_BASE_KEPT_H

#include <stddef.h>

/* Keep each open descriptor above standard error but except.  -1 with errno. */
int pfk__kept_open(int except);

/*
 * Write the descriptors that are kept into list, which has room for
 * pfk__kept_count(); returns their number.
 */
size_t pfk__kept_count(void);
size_t pfk__kept(int *list);

/* The same for those of each pfk_keep_fd, also the ones that workers lack. */
size_t pfk__kept_named(int *list);

#endif
