/*
 * digest.h: a datagram's source and bytes as one number.
 */
#ifndef ECHO_DIGEST_H
#define ECHO_DIGEST_H

#include <prefork.h>

/* Random numbers, so that nobody can choose datagrams of one digest. */
struct digest_seed {
	uint64_t words[4];
};

/* Of the source's address and port, or of its network: IPv4 /24, IPv6 /56. */
uint64_t digest_source(const struct digest_seed *s, const struct pfk_addr *a);
uint64_t digest_network(const struct digest_seed *s, const struct pfk_addr *a);

/*
 * Of source, length, and the first 16 and the last 8 bytes: the same costs for
 * each length.  digest_all goes on to all bytes.
 */
uint64_t digest_ends(const struct digest_seed *s, const struct pfk_packet *p);
uint64_t digest_all(const struct digest_seed *s, const struct pfk_packet *p);

#endif
