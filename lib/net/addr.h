/*
 * addr.h: hosts that are neither a numeric address nor a name.
 */
#ifndef PFK_NET_ADDR_H
#define PFK_NET_ADDR_H

/*
 * Why a host that pfk_addr_parse refuses cannot be a name either, or NULL.
 * getaddrinfo(3) is not asked about such a host, because it takes inet_aton(3)'s
 * forms for addresses (127.1, octal 010, hexadecimal, 8888) and * for loopback.
 */
const char *pfk__addr_fault(const char *host);

#endif
