/*
 * handshakes.h: the TCP handshakes that listeners have begun and not ended.
 *
 * They stand in no accept queue yet, and the kernel resets them when their
 * listener is closed.
 */
#ifndef PFK_NET_HANDSHAKES_H
#define PFK_NET_HANDSHAKES_H

#include <prefork.h>

struct pfk__handshakes {
	struct pfk__handshake *list; /* in ascending order */
	size_t n, room;
};

/*
 * List those of this network namespace for which ours(arg, local) is true; *h
 * is all zero before.  -1 with errno: the kernel does not tell them.
 */
int pfk__handshakes_read(struct pfk__handshakes *h,
    bool (*ours)(void *arg, const struct pfk_addr *local), void *arg);
void pfk__handshakes_free(struct pfk__handshakes *h);

/* Whether any is in both lists. */
bool pfk__handshakes_meet(const struct pfk__handshakes *a,
    const struct pfk__handshakes *b);

/* The time after which the kernel gives any handshake up. */
uint64_t pfk__handshakes_longest_ns(void);

#endif
