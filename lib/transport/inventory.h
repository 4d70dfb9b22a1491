/*
 * inventory.h: the chunks of a predecessor, as its successor finds them, and the
 * connections that they belong to.
 *
 * Each connection takes those of its output and its input.  The ones that nobody has
 * taken are free again when the inventory is closed.
 */
#ifndef PFK_TRANSPORT_INVENTORY_H
#define PFK_TRANSPORT_INVENTORY_H

#include "transport/tcp.h"

/* A chunk, and its connection as it was when the inventory was made. */
struct pfk__item {
	int fd;
	int chunk; /* -1: taken */
};

struct pfk__inventory {
	struct pfk__ledger *ledger;
	struct pfk__item *items; /* in order of connection and position */
	size_t n;
};

/* False: no memory. */
bool pfk__inventory_open(struct pfk__inventory *v, struct pfk__ledger *g);
void pfk__inventory_close(struct pfk__inventory *v);

/*
 * Give the transport the chunks that hold a byte of output from `sent` on.
 * False: they are not without a gap, so they cannot be right.
 */
bool pfk__inventory_output(struct pfk__inventory *v, struct pfk_transport *tr,
    uint64_t sent);

/* Whether there is any output of the transport's. */
bool pfk__inventory_has_output(const struct pfk__inventory *v,
    const struct pfk_transport *tr);

/*
 * Give it its unconsumed bytes as of the version: those before `in`.  The chunks
 * may have some that were consumed, and some that a transaction without a commit
 * has put there, which are in hand.  False: bytes are missing.
 */
bool pfk__inventory_input(struct pfk__inventory *v, struct pfk_transport *tr,
    const struct pfk__version *version);

#endif
