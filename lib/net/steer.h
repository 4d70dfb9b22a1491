/*
 * steer.h: choose the members of a SO_REUSEPORT group that get new clients.
 */
#ifndef PFK_NET_STEER_H
#define PFK_NET_STEER_H

#include <prefork.h>

/*
 * Give new connections and datagrams of fd's group to its first n members
 * only, in the order in which they came to listen (TCP) or were bound (UDP).
 * A UDP peer stays with one member.  socket(7), SO_ATTACH_REUSEPORT_CBPF; it
 * needs no privilege.
 */
int pfk__steer(int fd, enum pfk_kind kind, int family, uint32_t n);

/* Leave it to the kernel's hash again. */
int pfk__unsteer(int fd);

#endif
