/*
 * zone.h: a table in memory that all workers share.
 *
 * It has stripes, each with a lock, an index of buckets, and blocks that hold
 * the items: key and value fill a chain of runs, each of blocks that lie side by
 * side.  An item never changes, but for its deadline; another one takes its place.
 * It counts from the one store that links it into its bucket.
 *
 * The lock's owner is a child of the master, by its generation: a worker and its
 * successors.  If a worker is killed with a lock, its successor, or the master
 * once there is none, frees all blocks that no bucket leads to, and unlocks.  If
 * keeper and master are dead as well, the next worker that waits for the lock does it.  So
 * lists of free blocks, and counts, may be wrong when a worker dies.
 *
 * A transaction (transport/tx.h) may be run again by a successor.  Each thing that
 * it does to a zone is a deed in the worker's ledger, which is written before the
 * store that does it and counted after it, under the lock.  If the worker dies between the
 * two, the blocks tell whether the deed is done.  A callback that runs again and
 * asks for a deed that is done gets its result.  Other callbacks may commit before it,
 * so the deed waits for the same callback of the same connection, or the latter's end.
 *
 * A share is a worker's part of a count, which ends with the worker.  Each worker has a
 * seat here, with a stamp of its own, and a share counts while its stamp stands there: so
 * all shares of a worker end by one store, its own or the master's.
 *
 * A hostile worker can write anything here.  Workers trust each other with a zone, but
 * the master does not: _release and _repair check each number that they read.
 */
#ifndef PFK_EVENT_ZONE_H
#define PFK_EVENT_ZONE_H

#include <prefork.h>
#include <sys/queue.h>
#include <sys/uio.h>

#define PFK__BLOCK_BYTES 256u
/* As many as there are workers, and those that leave. */
#define PFK__SEATS 2048u

/* Besides an owner's number: another process gives its lock back. */
#define PFK__GIVEN_BACK (UINT64_C(1) << 62)

/* All numbers of blocks begin with 1; 0 is none. */
struct pfk__zone_stripe {
	_Alignas(64) uint64_t owner; /* its generation and 1 more; 0: free */
	uint64_t versions;           /* given out so far */
	uint32_t free, n_free;       /* runs, a list by `next`; blocks */
	uint32_t hand;               /* the bucket that is evicted from next */
	uint32_t items;
	uint64_t evicted;
};

struct pfk__zone_head {
	uint64_t magic;
	uint64_t bytes;
	uint64_t seed;
	uint32_t stripes;
	uint32_t buckets, blocks; /* of each */
	uint32_t ready;           /* all the rest is valid */
};

/* Blocks side by side; in an item's next runs bytes follow. */
struct pfk__zone_run {
	uint32_t next; /* of the chain, or of the free ones */
	uint32_t n;    /* blocks */
};

/* The head of an item's first run; then come the key and the value. */
struct pfk__zone_item {
	struct pfk__zone_run run;
	uint32_t link; /* the bucket's next item */
	uint32_t last; /* run of the chain */
	uint64_t hash;
	uint64_t version;
	uint64_t deadline_ns; /* 0: none */
	uint32_t key_len, len;
	uint32_t flags;
	uint32_t used;   /* since the hand has passed */
	uint32_t blocks; /* of the chain */
	uint32_t runs;
};

struct pfk_zone {
	SLIST_ENTRY(pfk_zone) link;
	struct pfk__zone_head *head;
	struct pfk__zone_stripe *stripes;
	uint64_t *seats;
	uint64_t
	    *pids; /* of a seat's worker, and above 32 bits of its parent */
	uint32_t *buckets;
	char *blocks;
	/* As in the head, which any worker may overwrite. */
	uint64_t seed;
	uint32_t n_stripes, n_buckets, n_blocks;
	uint32_t number;       /* among the program's zones */
	struct pfk_loop *loop; /* the worker's; NULL: there is none */
	uint64_t owner;        /* of the locks that are taken here */
	uint32_t seat;         /* its number and 1 more; 0: none is left */
	uint64_t stamp;        /* that stands there */
	bool shown;            /* a callback of pfk_zone_show runs */
};

SLIST_HEAD(pfk__zone_list, pfk_zone);
extern struct pfk__zone_list pfk__zones;

/* In a worker: its loop, and its child's generation. */
void pfk__zones_enter(struct pfk_loop *l, uint64_t generation);

/* No process of the generation is left: give back the locks that it held. */
void pfk__zones_release(uint64_t generation);

/*
 * The worker's share of the count at the key is n, if the shares of all are no more
 * than max then; 0: without a bound.  -1: EDQUOT, and nothing has changed.  No part of
 * a transaction.  Where there is no room it counts for nothing.
 */
int pfk__zone_share(struct pfk_zone *z, const void *key, size_t key_len,
    uint32_t n, uint64_t max);

/* In a callback of pfk_zone_show, where a lock is held; then it sets EDEADLK. */
bool pfk__zone_is_shown(const struct pfk_zone *z);

/* Whether the owner of a lock is a worker that is dead, as its parent is. */
bool pfk__zone_owner_dead(const struct pfk_zone *z, uint64_t owner);

/* zone_store.c: stripes and blocks. */
void pfk__stripe_lock(struct pfk_zone *z, uint32_t stripe);
void pfk__stripe_unlock(struct pfk_zone *z, uint32_t stripe);
/* Free all blocks that no bucket leads to. */
void pfk__stripe_repair(struct pfk_zone *z, uint32_t stripe);
bool pfk__stripe_has(const struct pfk_zone *z, uint32_t stripe, uint32_t item);

static inline struct pfk__zone_item *
pfk__zone_block(const struct pfk_zone *z, uint32_t stripe, uint32_t i)
{
	size_t n = (size_t)stripe * z->n_blocks + (i - 1);

	return (
	    struct pfk__zone_item *)(void *)(z->blocks + n * PFK__BLOCK_BYTES);
}

/* The bucket of a hash: where its first item's number stands. */
uint32_t *pfk__zone_bucket(const struct pfk_zone *z, uint32_t stripe,
    uint64_t hash);

/*
 * Make an item that nothing leads to.  Others are evicted for it.  0: it is too large.
 */
uint32_t pfk__zone_make(struct pfk_zone *z, uint32_t stripe, const void *key,
    size_t key_len, const void *value, size_t len);
/* Take the item out of its bucket by one store, then free its blocks. */
void pfk__zone_unlink(struct pfk_zone *z, uint32_t stripe, uint32_t *at);
void pfk__zone_free(struct pfk_zone *z, uint32_t stripe, uint32_t item);
/* Describe the value by vectors, at most as many as there are runs. */
int pfk__zone_vectors(const struct pfk_zone *z, uint32_t stripe, uint32_t item,
    struct iovec *iov);
/* Copy bytes of the key and value, which are one string, from `at` on. */
void pfk__zone_copy(const struct pfk_zone *z, uint32_t stripe, uint32_t item,
    size_t at, void *dst, size_t len);

/* zone_deed.c: deeds of transactions. */
enum pfk__deed_kind {
	PFK__DEED_NONE, /* of no transaction */
	PFK__DEED_PUT,
	PFK__DEED_ADD,
	PFK__DEED_DELETE
};
struct pfk__deed;
/* Whether the deed is done already, by a predecessor. */
bool pfk__deed_done(struct pfk_zone *z, enum pfk__deed_kind kind, uint64_t hash,
    struct pfk__deed *result);
/* Under the lock, before the store that does it, and after it. */
void pfk__deed_begin(struct pfk_zone *z, const struct pfk__deed *deed);
void pfk__deed_end(struct pfk_zone *z);
/* In a successor: whether its predecessor has done the deed that it had begun. */
void pfk__deed_find(struct pfk_zone *z, uint32_t stripe);
void pfk__deeds_enter(struct pfk_loop *l);
/* A transaction begins: deeds that wait for its callback become its own. */
void pfk__deeds_take(struct pfk_loop *l);
/* It is committed. */
void pfk__deeds_settle(void);

#endif
