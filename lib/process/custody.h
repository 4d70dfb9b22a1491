/*
 * custody.h: the listeners that workers have lent to the master.
 *
 * The master never accepts, reads or binds them; it keeps them open, so that
 * what is queued in them outlives the worker.  A child inherits the table by
 * fork and takes its slot's entries out of it.
 *
 * Invariants:
 *  1. one entry for each slot, kind and address asked for;
 *  2. a generation that is ready is the user of all that it serves on.
 */
#ifndef PFK_PROCESS_CUSTODY_H
#define PFK_PROCESS_CUSTODY_H

#include <prefork.h>

struct pfk__lent {
	int slot;
	enum pfk_kind kind;
	struct pfk_addr asked; /* with port 0 where that was asked */
	struct pfk_addr bound;
	int fd;
	uint64_t lender; /* the generation that opened it */
	uint64_t user;   /* the last one that opened or took it */
	struct pfk__custody *custody;
	struct pfk_io *io; /* in the master: is anything queued? */
};

struct pfk__custody {
	struct pfk__lent **lent;
	size_t len, size;
	/* With a loop: queued is called, once a rearm, when a slot's queue
	 * is seen not to be empty. */
	struct pfk_loop *loop;
	void (*queued)(void *arg, int slot);
	void *arg;
};

/* The slot's own, or with slot -1 any slot's, or NULL. */
struct pfk__lent *pfk__custody_find(const struct pfk__custody *c, int slot,
    enum pfk_kind kind, const struct pfk_addr *asked);

/* The port that stands for port 0, or 0 while there is none. */
uint16_t pfk__custody_port(const struct pfk__custody *c);

/* Take fd into custody, in place of an older one. -1: fd stays the caller's. */
int pfk__custody_add(struct pfk__custody *c, const struct pfk__lent *l);

/* Close entry i. */
void pfk__custody_drop(struct pfk__custody *c, size_t i);

/* Close the slot's entries but those that `user` uses; 0 closes all. */
void pfk__custody_prune(struct pfk__custody *c, int slot, uint64_t user);

/* Close the slot's entries that `lender` opened: it never got ready. */
void pfk__custody_undo(struct pfk__custody *c, int slot, uint64_t lender);

/* Tell again when the slot's queue is not empty. */
void pfk__custody_rearm(struct pfk__custody *c, int slot);

/* Whether anything is queued there now; in the slot. */
bool pfk__custody_queued(const struct pfk__lent *l);
bool pfk__custody_waiting(const struct pfk__custody *c, int slot);

/* Close all. */
void pfk__custody_clear(struct pfk__custody *c);

#endif
