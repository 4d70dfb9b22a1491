/*
 * addr.h: addresses, and hosts that are neither one nor a name.
 */
#ifndef PFK_NET_ADDR_H
#define PFK_NET_ADDR_H

#include <prefork.h>

/*
 * Why a host that pfk_addr_parse refuses cannot be a name either, or NULL.
 * Sets errno to EINVAL, or ENODEV where only the interface is missing.
 * getaddrinfo(3) is not asked about such a host, because it takes inet_aton(3)'s
 * forms for addresses (127.1, octal 010, hexadecimal, 8888) and * for loopback.
 */
const char *pfk__addr_fault(const char *host);

void pfk__addr_set_port(struct pfk_addr *a, uint16_t port);

/*
 * unix.c: leave of an address of AF_UNIX, which has no room here for its path,
 * the family; and that of the socket fd, by its inode number, which all of its
 * duplicates have and no other socket.
 */
void pfk__addr_clip(struct pfk_addr *a);
int pfk__addr_of_unix(struct pfk_addr *a, int fd);

/* The name of a path, or with @ of an abstract one; EINVAL, ENAMETOOLONG. */
struct sockaddr_un;
int pfk__unix_name(struct sockaddr_un *un, socklen_t *len, const char *path);

/* pfk_addr_equal, or the same socket of AF_UNIX. */
bool pfk__addr_same(const struct pfk_addr *a, const struct pfk_addr *b);

/* Whether it is 0.0.0.0 or ::. */
bool pfk__addr_is_any(const struct pfk_addr *a);

/*
 * Whether it is a link-local address that does not name its interface, as
 * fe80::1%eth0 does, and so cannot be used.
 */
bool pfk__addr_lacks_zone(const struct pfk_addr *a);

/*
 * Remove the interface from an address that is not link-local, as ::1%lo is, because
 * the kernel ignores it there, and getsockname(2) does not return it.
 */
void pfk__addr_drop_zone(struct pfk_addr *a);

#endif
