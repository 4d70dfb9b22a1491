/*
 * guard.c: datagrams that must not be answered.
 */
#include "guard.h"

#include <arpa/inet.h>

/* Services that answer whatever they get, or amplify. */
static const uint16_t chatty[] = {7, 9, 11, 13, 17, 19, 37, 53, 69, 123, 138,
    161, 389, 1900, 3702, 5353, 11211};

static bool
contains(const uint16_t *ports, size_t n, uint16_t port)
{
	for (size_t i = 0; i < n; i++) {
		if (ports[i] == port)
			return true;
	}
	return false;
}

static bool
is_single_host(const struct pfk_addr *a)
{
	in_addr_t in4;

	if (a->sa.sa_family == AF_INET6)
		return !IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr) &&
		    !IN6_IS_ADDR_MULTICAST(&a->in6.sin6_addr);
	in4 = ntohl(a->in4.sin_addr.s_addr);
	return in4 >> 24 != 0 && !IN_MULTICAST(in4) && in4 != INADDR_BROADCAST;
}

const char *
guard_refuses(const struct pfk_packet *p, const uint16_t *own, size_t n_own)
{
	uint16_t port = pfk_addr_port(p->from);

	if (port == 0)
		return "source port 0";
	if (contains(own, n_own, port))
		return "source port is one of our own";
	if (contains(chatty, sizeof(chatty) / sizeof(chatty[0]), port))
		return "source port of a service that answers";
	if (!is_single_host(p->from))
		return "source is not a single host";
	if (!p->unicast || !is_single_host(p->to))
		return "sent to a multicast or broadcast address";
	return NULL;
}
