/*
 * tentative.h: addresses that the machine has, and cannot use yet.
 */
#ifndef PFK_NET_TENTATIVE_H
#define PFK_NET_TENTATIVE_H

#include <prefork.h>

/*
 * Whether duplicate address detection (RFC 4862) still goes on for a, so that
 * bind(2) says EADDRNOTAVAIL.  False where it cannot be told.
 */
bool pfk__addr_tentative(const struct pfk_addr *a);

/* The same of a line of /proc/net/if_inet6. */
bool pfk__tentative_line(const char *line, const struct in6_addr *a);

#endif
