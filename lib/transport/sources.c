/*
 * sources.c: how many connections each source has.
 *
 * Layer: transport.
 */
#include "transport/sources.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "event/zone.h"

#define NETWORKS 3

struct source {
	uint64_t key;
	unsigned bits; /* of the address that count: 32, or 48 to 64 */
	size_t connections;
};

static int
compare(const void *pa, const void *pb)
{
	const struct source *a = pa, *b = pb;

	if (a->bits != b->bits)
		return a->bits < b->bits ? -1 : 1;
	return (a->key > b->key) - (a->key < b->key);
}

/* The IPv4 address, which may be mapped into an IPv6 address. */
static bool
find_ipv4(const struct pfk_addr *addr, uint32_t *ipv4)
{
	const struct in6_addr *in6 = &addr->in6.sin6_addr;

	if (addr->sa.sa_family != AF_INET6)
		*ipv4 = ntohl(addr->in4.sin_addr.s_addr);
	else if (IN6_IS_ADDR_V4MAPPED(in6))
		*ipv4 = ntohl(in6->s6_addr32[3]);
	else
		return false;
	return true;
}

static bool
is_loopback(const struct pfk_addr *addr)
{
	uint32_t ipv4;

	if (find_ipv4(addr, &ipv4))
		return ipv4 >> 24 == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&addr->in6.sin6_addr);
}

/* Whether connections from there are counted. */
static bool
counts(const struct pfk__sources *s, const struct pfk_addr *addr)
{
	return s->max > 0 && addr->sa.sa_family != AF_UNIX &&
	    !(s->exempt_loopback && is_loopback(addr));
}

/* The sources that it is from, the narrowest first; returns their number. */
static int
list_sources(const struct pfk_addr *addr, struct source list[NETWORKS])
{
	uint32_t ipv4;
	uint64_t high;

	if (find_ipv4(addr, &ipv4)) {
		list[0] = (struct source){.key = ipv4, .bits = 32};
		return 1;
	}
	memcpy(&high, &addr->in6.sin6_addr, sizeof(high));
	high = be64toh(high);
	for (unsigned i = 0; i < NETWORKS; i++)
		list[i] = (struct source){.key = high >> (8 * i),
		    .bits = 64 - 8 * i};
	return NETWORKS;
}

static struct source *
find(struct pfk__sources *s, const struct source *want)
{
	struct source **found = tfind(want, &s->tree, compare);

	return found != NULL ? *found : NULL;
}

static struct source *
need(struct pfk__sources *s, const struct source *want)
{
	struct source *found = find(s, want);

	if (found != NULL)
		return found;
	found = malloc(sizeof(*found));
	if (found == NULL)
		return NULL;
	*found = *want;
	if (tsearch(found, &s->tree, compare) == NULL) {
		free(found);
		errno = ENOMEM;
		return NULL;
	}
	return found;
}

static void
remove_one(struct pfk__sources *s, const struct source *of)
{
	struct source *found = find(s, of);

	if (found != NULL && --found->connections == 0) {
		tdelete(found, &s->tree, compare);
		free(found);
	}
}

/* This worker's connections from there; -1: all workers have more than max. */
static int
share(struct pfk__sources *s, const struct source *of, size_t max)
{
	const struct source *found = find(s, of);
	char key[24] = "\0pfk.source";
	size_t n = 12;

	if (s->zone == NULL)
		return 0;
	key[n++] = (char)of->bits;
	memcpy(key + n, &of->key, sizeof(of->key));
	n += sizeof(of->key);
	return pfk__zone_share(s->zone, key, n,
	    found != NULL ? (uint32_t)found->connections : 0, max);
}

static void
release_all(struct pfk__sources *s, const struct source *list, int n)
{
	for (int i = 0; i < n; i++) {
		remove_one(s, &list[i]);
		share(s, &list[i], 0);
	}
}

int
pfk__sources_admit(struct pfk__sources *s, const struct pfk_addr *addr)
{
	struct source list[NETWORKS];
	int n = list_sources(addr, list);

	if (!counts(s, addr))
		return 0;
	for (int i = 0; i < n; i++) {
		struct source *found = need(s, &list[i]);
		size_t bound = MIN(s->max, UINT32_MAX),
		       max = bound * (size_t)(i + 1);
		int error = ENOMEM;

		if (found != NULL) {
			found->connections++;
			error = found->connections > max    ? EDQUOT
			    : share(s, &list[i], max) == -1 ? errno
							    : 0;
		}
		if (error != 0) {
			release_all(s, list, i + (found != NULL));
			errno = error;
			return -1;
		}
	}
	return 0;
}

void
pfk__sources_readmit(struct pfk__sources *s, const struct pfk_addr *addr)
{
	struct source list[NETWORKS];
	int n = list_sources(addr, list);

	for (int i = 0; counts(s, addr) && i < n; i++) {
		struct source *found = need(s, &list[i]);

		if (found == NULL)
			continue;
		found->connections++;
		share(s, &list[i], 0);
	}
}

void
pfk__sources_release(struct pfk__sources *s, const struct pfk_addr *addr)
{
	struct source list[NETWORKS];
	int n = list_sources(addr, list);

	if (counts(s, addr))
		release_all(s, list, n);
}
