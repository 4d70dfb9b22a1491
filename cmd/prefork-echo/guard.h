/*
 * guard.h: datagrams that must not be answered.
 *
 * A UDP echo that answers anybody can be made to talk to another one for ever
 * (CVE-1999-0103, CVE-2024-2169), and to send to a third party.
 */
#ifndef ECHO_GUARD_H
#define ECHO_GUARD_H

#include <prefork.h>

struct guard;

struct guard_options {
	bool loops;          /* refuse the start of a loop, and end loops */
	int per_source;      /* datagrams a second; 0: no limit */
	int per_network;     /* of an IPv4 /24 or IPv6 /56; 0: no limit */
	const uint16_t *own; /* the ports that this server itself listens on */
	size_t n_own;
};

/* own outlives the guard, and may still be filled in. */
struct guard *guard_new(struct pfk_loop *l, const struct guard_options *o);

/*
 * Whether p must not be answered.  Then it is counted, and the log tells of it
 * once a minute at most.
 */
bool guard_refuses(struct guard *g, const struct pfk_packet *p);

/* Log the drops that are not logged yet, and release. */
void guard_free(struct guard *g);

#endif
