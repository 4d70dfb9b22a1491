/*
 * store.h: copies of the listeners in custody that the service manager keeps:
 * FDSTORE of sd_notify(3).
 *
 * They outlive a service that ends without an order, with all its processes, so that
 * its next start serves the clients that came meanwhile.  FDSTORE in the environment
 * says that the manager has such a store, and its size.
 *
 * A copy keeps a closed listener in its group, where the kernel goes on filling its
 * queue.  So each one that leaves custody is removed from the store, and a barrier
 * tells when the manager has closed it.
 *
 * Invariants:
 *  1. a socket has one name in the store, by its cookie (SO_COOKIE);
 *  2. while nothing is unsent, the names are those of the sockets in custody, but
 *     for some that find no room, or there is none, in an upgrade and after a stop.
 */
#ifndef PFK_PROCESS_STORE_H
#define PFK_PROCESS_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/tree.h>

struct pfk__master;
struct pfk__stored;
struct pfk_io;
struct pfk_timer;

struct pfk__store {
	size_t room; /* the most listeners; 0: there is no store */
	size_t len;
	RB_HEAD(pfk__stored_tree, pfk__stored) all; /* by cookie */
	bool full_logged;
	bool suspended; /* none is wanted there */
	bool removed;   /* some, since the last barrier was sent */
	uint64_t seen;  /* custody's changes that it agrees with */
	uint64_t pass;
	int barrier; /* the end of a pipe, while io is there */
	struct pfk_io *io;
	struct pfk_timer *retry;
};

/* At the start: no child has the descriptors that were passed.  -1: errno. */
int pfk__store_enter(struct pfk__master *m);
/* Take the listeners among them into custody, and close the others. */
void pfk__store_open(struct pfk__master *m);
void pfk__store_close(struct pfk__master *m);

/* Tell the manager of changes of custody, now or as soon as it reads. */
void pfk__store_maintain(struct pfk__master *m);
/* Whether it has closed each listener that has left custody. */
bool pfk__store_settled(struct pfk__master *m);

/*
 * Empty it: another program comes, which does not know the names.  True: the last
 * message is sent; else the master is woken for another call.
 */
bool pfk__store_empty(struct pfk__master *m);
/* No other program has come. */
void pfk__store_resume(struct pfk__master *m);
/* A stop has been ordered: empty it, and wait for that, but not for long. */
void pfk__store_end(struct pfk__master *m);

#endif
