/*
 * list.h: list the connections of a loop's servers.
 */
#ifndef PFK_TRANSPORT_LIST_H
#define PFK_TRANSPORT_LIST_H

struct pfk_loop;

/*
 * Write one struct pfk__connection each into the file, PFK__CONNECTIONS_MAX of
 * them at most; it costs some microseconds each.  Returns how many there are, or
 * -1 with errno where the file does not take them.
 */
int pfk__tcp_list(struct pfk_loop *l, int fd);

#endif
