/*
 * spawn.h: fork the process of a worker, without the descriptors of all others.
 *
 * The master has five descriptors for each worker.  With a thousand workers, a
 * child of fork(2) spends more time on the closing of their copies than on all
 * other steps of its boot.  So for a service of pfk__spawn_many workers the child
 * begins with the master's own table (clone(2), CLONE_FILES), and leaves it by
 * close_range(2): that copies no descriptor above a number.
 *
 * Below this number are berths, of PFK__BERTH descriptors each.  The master puts
 * duplicates of the descriptors that the child needs into one, and takes them out
 * when the child has sent its first message or has died, because until then it
 * may not have left the table.
 */
#ifndef PFK_PROCESS_SPAWN_H
#define PFK_PROCESS_SPAWN_H

#include <sys/types.h>

/* Two workers boot at a time, and one may have died before its first message. */
#define PFK__BERTHS 4
/* The channel, the log's pipe, and listeners. */
#define PFK__BERTH 16

struct pfk__child;
struct pfk__master;

struct pfk__berths {
	int null;  /* /dev/null, which holds the numbers; 0: there are none */
	int first; /* the number of the first berth's first descriptor */
	const struct pfk__child *user[PFK__BERTHS]; /* or NULL */
};

/* So many workers make it worth while; for tests, too. */
extern int pfk__spawn_many;

/*
 * fork(2) for the child c, with its end of the channel and its pipe to the log
 * process.  In the child all signals are blocked, and *channel, the
 * pipe and the slot's entries of custody may have got other numbers.
 */
pid_t pfk__spawn(struct pfk__master *m, struct pfk__child *c, int *channel,
    int log);

/* In the master: c needs its berth no more; nothing, if it has none. */
void pfk__spawn_over(const struct pfk__child *c);

/* At the end of the master. */
void pfk__spawn_end(struct pfk__master *m);

#endif
