/*
 * sources.h: how many connections each source has.
 *
 * A source is an IPv4 address, or an IPv6 network of 64, 56 or 48 bits, because a
 * customer of a provider gets any of these.  A connection counts for all that it
 * is from.  The bound is `max` for an address and a /64, twice that for a /56, and
 * three times for a /48, in which more customers may be.
 */
#ifndef PFK_TRANSPORT_SOURCES_H
#define PFK_TRANSPORT_SOURCES_H

#include <prefork.h>

struct pfk__sources {
	void *tree;            /* of tsearch(3) */
	size_t max;            /* 0: no bound, and nothing is counted */
	bool exempt_loopback;  /* its connections are not counted */
	struct pfk_zone *zone; /* where all workers count; or NULL */
};

/* Count a connection; -1 with EDQUOT: there are too many, or ENOMEM. */
int pfk__sources_admit(struct pfk__sources *s, const struct pfk_addr *addr);

/* Count one that was admitted by another process. */
void pfk__sources_readmit(struct pfk__sources *s, const struct pfk_addr *addr);

/* One that was counted has ended. */
void pfk__sources_release(struct pfk__sources *s, const struct pfk_addr *addr);

#endif
