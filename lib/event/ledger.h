/*
 * ledger.h: everything that a worker's successor must know, in one mapping.
 *
 * A worker that has a keeper shares its descriptor table and this mapping with
 * it.  Both outlive the worker when it is killed, and the keeper clones a
 * successor into the table, which reads here the purpose of each descriptor and
 * the bytes in hand.  Without a keeper the mapping is private and nobody reads
 * it again, so that there is one code path.
 *
 * It holds one record a descriptor, the bytes in hand (the loop's scratch area
 * and a batch of datagrams), and chunks for unsent bytes.  It does not hold
 * lists, heaps or trees: a kill would leave them half linked.  The worker
 * keeps those in memory of its own, and the successor builds them anew.
 *
 * Invariants:
 *  1. a record counts from the store of its entry, which is the last one of
 *     its making, to the store of PFK__ENTRY_NONE, which follows close(2);
 *  2. the successor believes nothing that it reads here: every index and every
 *     descriptor is checked, and a record that is not plausible costs its own
 *     connection and nothing else;
 *  3. a chunk has one owner, named by its descriptor and its generation; the
 *     free ones are those that name none.
 */
#ifndef PFK_EVENT_LEDGER_H
#define PFK_EVENT_LEDGER_H

#include <prefork.h>

/* Only the pages that are touched take memory. */
#define PFK__SCRATCH_BYTES ((size_t)6 << 20)
#define PFK__CHUNK_BYTES ((size_t)16 << 10)
#define PFK__CHUNKS_MAX 65536u
#define PFK__BATCH_ROOM ((size_t)256 << 10)
#define PFK__BLOCKS_ROOM ((size_t)1 << 30)
#define PFK__STATE_MAX ((size_t)1 << 20)
#define PFK__DEEDS_MAX 4096
/* The supplementary groups that a worker may keep when it drops privileges. */
#define PFK__GROUPS_MAX 64

/*
 * A kill loses no store that was made, so order is all that a reader in another
 * process needs: the compiler must not move stores over this line.
 */
#define pfk__in_order() __asm__ __volatile__("" ::: "memory")

enum pfk__entry {
	PFK__ENTRY_NONE,
	PFK__ENTRY_BASE,     /* the process's own: channel, log, ... */
	PFK__ENTRY_LISTENER, /* listens for streams */
	PFK__ENTRY_DATAGRAM, /* a datagram endpoint's socket */
	PFK__ENTRY_LEFT,     /* was one of the two, of a worker that drains */
	PFK__ENTRY_STREAM,   /* a connection that can go on */
	PFK__ENTRY_PIPE,     /* holds bytes of one; for the sweep alone */
	PFK__ENTRY_DOOMED    /* any other; its owner's death ends it */
};

/* The interest that the poller has is not known: the process died telling it. */
#define PFK__ARMED_UNKNOWN 0x80u

/* No transaction has this number. */
#define PFK__NO_TX UINT64_MAX

/*
 * One state of a connection.  Of a record's two, the one counts that the latest
 * committed transaction has made; the other one is being written, or old.
 */
struct pfk__version {
	uint64_t tx; /* the transaction that made it, or PFK__NO_TX */
	uint64_t in,
	    out;        /* bytes that its protocol was given, and has written */
	uint16_t flags; /* the transport's */
	uint8_t block;  /* which copy of its block */
	/* Its input (transport/input.h): unconsumed bytes, and messages. */
	uint8_t last;
	uint32_t left;
	uint32_t want;
};

/* The purpose of one descriptor, and the state of its transport. */
struct pfk__record {
	uint32_t generation; /* of the loop's registration */
	uint8_t entry;       /* enum pfk__entry */
	uint8_t armed;       /* the interest that the poller has */
	int32_t server;      /* of a stream: its server's listener */
	int32_t owner;       /* the slot that it was adopted from, or -1 */
	union {
		struct {
			struct pfk_addr asked, bound;
			uint64_t opened_ns;
			int32_t kind;
		} listener; /* of a datagram endpoint, too */
		struct {
			struct pfk_addr peer;
			uint64_t active_ns;
			uint64_t since_ns; /* of its accept(2) */
			/* Its deadlines, or 0 (transport/deadline.h). */
			uint64_t read_by_ns, write_by_ns, write_to;
			/* The kernel's counters when it was taken over. */
			uint64_t received0, sent0;
			uint32_t low, high;
			/* A pipe that holds unsent bytes; 0: none. */
			int32_t pipe_out, pipe_in;
			/* The channel by which it is given away, and 1 more;
			 * 0: it is not.  And the number of its packet. */
			int32_t given_to;
			uint32_t given;
			struct pfk__version versions[2];
		} stream;
	};
};

/* Unsent bytes of one connection: `len` bytes from position `pos` on. */
struct pfk__chunk {
	int32_t fd; /* of the connection, and 1 more; 0: free */
	uint32_t generation;
	uint64_t pos;
	uint32_t len;
};

/*
 * In place of a hand's length: the bytes are on their way from a pipe to the
 * queue, and `received` is how many are in both together.
 */
#define PFK__HAND_SPILL UINT32_MAX

/* A stream's bytes between recv(2) and the end of their handling. */
struct pfk__hand {
	int32_t fd;        /* -1: none */
	uint32_t len;      /* 0: recv(2) has not told yet */
	uint64_t sent;     /* by the connection before, see tcp.h */
	uint64_t received; /* the same */
	uint32_t at;       /* they are so far behind the scratch area's start */
	uint32_t again;    /* how often successors have begun to handle it */
};

/* A change of a zone by a transaction: zone.h. */
struct pfk__deed {
	uint64_t hash; /* of the key */
	uint64_t result;
	/*
	 * Until this transaction is committed; then its place is free.
	 * PFK__NO_TX: its callback was interrupted, and has not begun again.
	 */
	uint64_t until;
	uint64_t order; /* later ones have more */
	int32_t fd;     /* of the connection */
	int32_t during; /* the callback, an enum pfk__tx_kind */
	int32_t kind;
	int32_t error;
	uint32_t zone, stripe;
	uint32_t item; /* put in, or taken out; 0: nothing has changed */
};

struct pfk__ledger_head {
	struct pfk__hand hand;
	int32_t serving;    /* the descriptor of the running callback, or -1 */
	uint32_t at_fault;  /* by the keeper: the datagram in hand is */
	int32_t accepting;  /* the listener in accept4(2), or -1 */
	int32_t taking;     /* the descriptor of a connection that is being
			    * received from another process, and 1 more */
	int32_t verdict_to; /* where the verdict on it is sent, and 1 more;
			     * 0: the connection is not ours yet */
	uint64_t verdict;
	int32_t poll_fd; /* the poller's own descriptor, or -1 */
	int32_t top;     /* no record is above it */
	/* No record that was given back had a later one. */
	uint32_t generation;
	uint32_t chunks_top;
	/*
	 * The last transaction that counts: one store of it commits everything
	 * that the transaction's callback has done to any connection.
	 */
	uint64_t committed;
	uint32_t block_bytes; /* of each copy of a connection's block */
	uint64_t state_tx[2]; /* of the worker's state, as a version's */
	uint64_t deeds_order; /* of the latest one */
	uint32_t deeds;       /* no later place holds one */
	uint32_t deed_begun;  /* the place of the one that may be done, and 1
			       * more; 0: there is none */
	uint64_t orphan_ns;   /* until when it serves without a master; or 0 */
	/* To the next master: 1 its listeners, 2 that it is ready. */
	uint32_t lending;
	uint64_t die_at;  /* for tests: the points from now on; 0: never */
	uint32_t ready;   /* the worker has served: it gets a successor */
	uint32_t rebuilt; /* the successor serves */
	/* The user that the worker is about to become; the keeper too. */
	uint32_t dropping; /* a futex: 1 asked, 2 done, 3 failed */
	uint32_t uid, gid;
	uint32_t n_groups;
	uint32_t groups[PFK__GROUPS_MAX];
};

struct pfk__ledger {
	struct pfk__ledger_head *head;
	struct pfk__record *records;
	int size; /* of records */
	/* Where memory is scarce, less than PFK__CHUNKS_MAX, PFK__BLOCKS_ROOM. */
	unsigned chunks_max;
	size_t blocks_room;
	struct pfk__chunk *chunks;
	char *chunk_bytes;
	char *blocks; /* two copies for each descriptor, next to each other */
	char *state;  /* two copies of PFK__STATE_MAX bytes */
	struct pfk__deed *deeds;
	void *batch; /* PFK__BATCH_ROOM bytes for a batch of datagrams */
	void *scratch;
	void *map;
	size_t map_len;
	bool shared;
	bool resumed;           /* this process is a successor */
	uint32_t deeds_waiting; /* for their callbacks */
	/* The worker's own: the chunk that follows in a queue or free list. */
	int *next;
	int free; /* the first free one below chunks_top, or -1 */
	int n_free;
};

/* Map an empty ledger.  -1 with errno. */
int pfk__ledger_open(struct pfk__ledger *g, bool shared);
void pfk__ledger_close(struct pfk__ledger *g);

/* The descriptor's record, or NULL where there is no room for one. */
static inline struct pfk__record *
pfk__record(const struct pfk__ledger *g, int fd)
{
	return fd >= 0 && fd < g->size ? &g->records[fd] : NULL;
}

/*
 * Note the purpose of the descriptor; the rest of the record is filled in
 * already.
 */
void pfk__ledger_note(struct pfk__ledger *g, int fd, enum pfk__entry entry);

/* The connection ends, and no deed waits for a callback of it any more. */
void pfk__deeds_forget(struct pfk__ledger *g, int fd);

/* Close the descriptor and forget its record. */
void pfk__ledger_end(struct pfk__ledger *g, int fd);

/*
 * Close the listener or endpoint of a worker that drains, and keep its number and
 * its record for a successor, whose connections have their server there.
 */
void pfk__ledger_leave(struct pfk__ledger *g, int fd);

/* Whether the predecessor drained. */
bool pfk__ledger_has_left(const struct pfk__ledger *g);

/* Give back the pages of records and blocks of which none is in use. */
void pfk__ledger_trim(struct pfk__ledger *g);

/* Whether n chunks can be taken now. */
bool pfk__chunks_have(struct pfk__ledger *g, size_t n);

/* Whether so much output is unsent that each connection may add a little only. */
static inline bool
pfk__chunks_are_short(const struct pfk__ledger *g)
{
	return g->head->chunks_top - (unsigned)g->n_free > g->chunks_max / 4;
}

/*
 * The record's version that counts, of a connection.
 */
struct pfk__version *pfk__version(const struct pfk__ledger *g,
    struct pfk__record *r);

/*
 * Begin to write the version that does not count yet, and end: from the commit
 * of transaction tx on it is the one that counts.
 */
struct pfk__version *pfk__version_begin(const struct pfk__ledger *g,
    struct pfk__record *r);
void pfk__version_end(struct pfk__version *v, uint64_t tx);

/* A copy of the descriptor's block, or NULL where there is no room for it. */
void *pfk__block(const struct pfk__ledger *g, int fd, unsigned copy);

/* Which copy of the worker's state counts. */
unsigned pfk__state_copy(const struct pfk__ledger *g);

/*
 * A point at which a test may let the process die, as if it were killed from
 * outside: before and after each system call and callback of the data's way.
 */
void pfk__die(void) __attribute__((noreturn));
static inline void
pfk__point(const struct pfk__ledger *g)
{
	if (g->head->die_at != 0 && --g->head->die_at == 0)
		pfk__die();
}

/* A free chunk, which is the caller's; there must be one. */
int pfk__chunk_take(struct pfk__ledger *g);
void pfk__chunk_give(struct pfk__ledger *g, int i);
static inline char *
pfk__chunk_data(const struct pfk__ledger *g, int i)
{
	return g->chunk_bytes + (size_t)i * PFK__CHUNK_BYTES;
}

/* Bound the numbers of the head, which a hostile predecessor has written. */
void pfk__ledger_mistrust(struct pfk__ledger *g);

/*
 * In a successor, before anything else is opened: close each descriptor without
 * a record, but give connections that accept4(2) had just returned to
 * found(arg, fd).
 */
void pfk__ledger_sweep(struct pfk__ledger *g, void (*found)(void *arg, int fd),
    void *arg);

#endif
