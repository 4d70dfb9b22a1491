/*
 * leftovers.h: remove the locks and control sockets of services that are long gone.
 */
#ifndef PFK_PROCESS_LEFTOVERS_H
#define PFK_PROCESS_LEFTOVERS_H

/* So many entries of a directory are looked at each time. */
#define PFK__LEFTOVERS_MAX 256

/*
 * Look at entries of the directory, which only root and this user can change: note
 * those that nobody has locked, and remove those that were noted so long ago that no
 * orphan can look for its next master.
 */
void pfk__leftovers_remove(const char *dir);

#endif
