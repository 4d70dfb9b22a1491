/*
 * dns_zone.h: the zone of dns.c in memory: walk() finds a name, make_node() adds one.
 */
#include <arpa/nameser.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 65536

/* Names are in the form of the wire, and in lower case where they are compared. */
struct name {
	size_t len;
	uint8_t wire[NS_MAXCDNAME];
};

struct record {
	struct record *next;
	uint32_t ttl;
	uint16_t type, len;
	uint8_t data[];
};

struct node { /* a name that exists */
	struct node *next;
	struct record *records;
	const struct record *alias; /* of them */
	bool delegated;             /* to other servers */
	struct name name;
};

struct zone {
	struct node *buckets[BUCKETS];
	struct name apex;
	struct record *soa;
	uint32_t negative_ttl; /* RFC 2308, section 5 */
	bool delegates;        /* a part of it */
};

static void
lower(struct name *n, const uint8_t *wire, size_t len)
{
	/* A label's length is no capital letter. */
	for (n->len = 0; n->len < len; n->len++)
		n->wire[n->len] = (uint8_t)tolower(wire[n->len]);
}

/* The place of a name's node, where a pointer is NULL if there is none. */
static struct node **
find(struct zone *z, const uint8_t *name, size_t len)
{
	uint32_t h = 2166136261u;
	struct node **n;

	for (size_t i = 0; i < len; i++)
		h = (h ^ name[i]) * 16777619u;
	n = &z->buckets[(h ^ h >> 16) % BUCKETS];
	while (*n != NULL &&
	    ((*n)->name.len != len || memcmp((*n)->name.wire, name, len) != 0))
		n = &(*n)->next;
	return n;
}

enum found { OUTSIDE, MISSING, EXISTS, DELEGATED };

/* The node that answers for a name: its own, a wildcard's or a delegation's. */
static enum found
walk(struct zone *z, const struct name *n, const struct node **node)
{
	uint8_t star[NS_MAXCDNAME + 2] = "\1*";
	const struct node *up = *node = *find(z, n->wire, n->len);
	enum found found = EXISTS;
	size_t at = 0;

	while (up == NULL && n->len - at > z->apex.len) {
		at += 1 + (size_t)n->wire[at];
		up = *find(z, n->wire + at, n->len - at);
	}
	if (up == NULL)
		return OUTSIDE;
	if (*node == NULL) {
		memcpy(star + 2, n->wire + at, n->len - at);
		*node = *find(z, star, n->len - at + 2);
	}
	/* Of delegations the one nearest to the apex counts. */
	while (z->delegates && n->len - at > z->apex.len) {
		up = *find(z, n->wire + at, n->len - at);
		if (up != NULL && up->delegated) {
			*node = up;
			found = DELEGATED;
		}
		at += 1 + (size_t)n->wire[at];
	}
	return *node != NULL ? found : MISSING;
}

/* Make the node of a name where it is missing, and those above it. */
static struct node *
make_node(struct zone *z, const uint8_t *name, size_t len)
{
	struct node **n = find(z, name, len), *made;

	if (*n != NULL)
		return *n;
	*n = made = calloc(1, sizeof(*made));
	if (made == NULL)
		return NULL;
	memcpy(made->name.wire, name, len);
	made->name.len = len;
	if (len > z->apex.len &&
	    make_node(z, name + 1 + *name, len - 1 - *name) == NULL)
		return NULL;
	return made;
}

static void
zone_free(struct zone *z)
{
	for (size_t i = 0; z != NULL && i < BUCKETS; i++) {
		for (struct node *n = z->buckets[i], *next; n != NULL;
		     n = next) {
			for (struct record *r = n->records, *rest; r != NULL;
			     r = rest) {
				rest = r->next;
				free(r);
			}
			next = n->next;
			free(n);
		}
	}
	free(z);
}
