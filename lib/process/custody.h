/*
 * custody.h: the listeners that workers have lent to the master.
 *
 * The master never accepts, reads or binds them; it keeps them open, so that
 * the connections and datagrams queued in them outlive the worker.  A child
 * inherits the table by fork and takes its slot's entries out of it.  Entries
 * of one kind and address asked for are a group: the kernel spreads new clients
 * over its members.
 *
 * Invariants:
 *  1. one entry for each slot, kind and address asked for;
 *  2. a generation that is ready is the user of all that it serves on;
 *  3. a slot's entries are listed in the order of their opening; the counts of slots and of all agree with the lists.
 */
#ifndef PFK_PROCESS_CUSTODY_H
#define PFK_PROCESS_CUSTODY_H

#include <prefork.h>
#include <sys/queue.h>
#include <sys/tree.h>

struct pfk__lent {
	int slot;
	enum pfk_kind kind;
	struct pfk_addr asked; /* with port 0 where that was asked */
	struct pfk_addr bound;
	int fd;
	uint64_t lender;    /* the generation that opened it */
	uint64_t user;      /* the last one that opened or kept it */
	uint64_t opened_ns; /* by pfk__clock_now */
	uint64_t cookie;    /* the socket's; 0: not read yet (store.c) */
	/* The custody's own. */
	struct pfk__custody *custody;
	struct pfk_io *io; /* in the master: is anything queued? */
	RB_ENTRY(pfk__lent) node;
	TAILQ_ENTRY(pfk__lent) link;
};

struct pfk__custody {
	RB_HEAD(pfk__lent_tree, pfk__lent) all; /* by group, then slot */
	struct {
		TAILQ_HEAD(pfk__lent_list, pfk__lent) list;
		size_t len;
	} slots[PFK_WORKERS_MAX];
	size_t len;
	uint64_t changes; /* entries added and dropped so far */
	uint16_t port;    /* for port 0, while any_port is not 0 */
	size_t any_port;
	/* With a loop: queued is called, once a rearm, when a slot's queue
	 * is seen not to be empty. */
	struct pfk_loop *loop;
	void (*queued)(void *arg, int slot);
	void *arg;
};

/* loop may be NULL: then nothing is watched. */
void pfk__custody_init(struct pfk__custody *c, struct pfk_loop *loop,
    void (*queued)(void *arg, int slot), void *arg);

/* The slot's own, or with slot -1 any slot's, or NULL. */
struct pfk__lent *pfk__custody_find(const struct pfk__custody *c, int slot,
    enum pfk_kind kind, const struct pfk_addr *asked);

/* How many entries the slot has. */
size_t pfk__custody_count(const struct pfk__custody *c, int slot);

/*
 * Walk the slot's entries in the order of opening, or all entries group by
 * group; NULL after the last one.  Fetch the next one before a drop.
 */
struct pfk__lent *pfk__custody_first(const struct pfk__custody *c, int slot);
struct pfk__lent *pfk__custody_next(const struct pfk__lent *l);
struct pfk__lent *pfk__custody_first_of_all(const struct pfk__custody *c);
struct pfk__lent *pfk__custody_next_of_all(const struct pfk__lent *l);

/* Whether both are members of one group. */
bool pfk__custody_same_group(const struct pfk__lent *a,
    const struct pfk__lent *b);

/* The port that stands for port 0, or 0 while there is none. */
uint16_t pfk__custody_port(const struct pfk__custody *c);

/* Take fd into custody, in place of an older one. -1: fd stays the caller's. */
int pfk__custody_add(struct pfk__custody *c, const struct pfk__lent *l);

/* The generation serves on an entry that its slot has already. */
void pfk__custody_keep(struct pfk__custody *c, int slot, enum pfk_kind kind,
    const struct pfk_addr *asked, uint64_t generation);

/* Close an entry. */
void pfk__custody_drop(struct pfk__lent *l);

/* Close the slot's entries but those that `user` uses; 0 closes all. */
void pfk__custody_prune(struct pfk__custody *c, int slot, uint64_t user);

/* Close the slot's entries that `lender` opened: it never got ready. */
void pfk__custody_undo(struct pfk__custody *c, int slot, uint64_t lender);

/* Re-enable the `queued` callback for the slot. */
void pfk__custody_rearm(struct pfk__custody *c, int slot);

/* Whether anything is queued there now; in the slot. */
bool pfk__custody_queued(const struct pfk__lent *l);
bool pfk__custody_waiting(const struct pfk__custody *c, int slot);

/* Whether the entry's socket is broken; the slot's first one that is, or NULL. */
bool pfk__custody_broken(const struct pfk__lent *l);
const struct pfk__lent *pfk__custody_first_broken(const struct pfk__custody *c,
    int slot);

/* Close all. */
void pfk__custody_clear(struct pfk__custody *c);

/* Abort unless the invariants hold. */
void pfk__custody_check(const struct pfk__custody *c);

#endif
