/*
 * listing.h: ask all workers for their connections, and put the answers
 * together.
 *
 * Invariants:
 *  1. one listing is under way at a time; clients that come meanwhile get its
 *     result;
 *  2. it ends when all workers have answered or have died, or after a while, and
 *     then names those that have not answered;
 *  3. no number and no address is believed: a worker may be hostile.
 */
#ifndef PFK_PROCESS_LISTING_H
#define PFK_PROCESS_LISTING_H

#include <prefork.h>
#include <stdio.h>

struct pfk__child;
struct pfk__client;
struct pfk__master;

struct pfk__listing {
	FILE *f; /* NULL: none is under way */
	char *text;
	size_t size;
	struct pfk_timer *deadline;
};

/* The client waits for the connections of all workers. */
void pfk__listing_ask(struct pfk__client *c);

/* c has written `rows` rows; -1: it could not. */
void pfk__listing_answered(struct pfk__child *c, int rows);

/* c will not answer: its worker has died. */
void pfk__listing_forget(struct pfk__child *c);

/* The master ends. */
void pfk__listing_cancel(struct pfk__master *m);

#endif
