/*
 * loop.h: the event loop's inside, for the layers above it.
 *
 * Invariants:
 *  1. interest lives here: io->want is the owner's interest, io->armed the
 *     back-end's registration; they differ only while the descriptor is in
 *     `dirty`, which is emptied before each wait, or while the back-end has
 *     refused it for want of memory or watches: then refused_at_ns is set.  So
 *     a descriptor that comes and goes within one turn costs no system call;
 *  2. table[fd].generation changes with every registration; an event of
 *     another generation is stale and dropped.
 *  3. a callback that is queued in `soon` during a turn's round runs in the
 *     next round.
 *  4. nothing reads, and so fills the scratch area, but from the loop itself:
 *     a callback that is given a part of it keeps that until it returns;
 *  5. a member (roster, endpoint or taker) is in `members` until its last
 *     callback has returned; a drained loop ends with the last one that is not
 *     light.
 */
#ifndef PFK_EVENT_LOOP_H
#define PFK_EVENT_LOOP_H

#include <prefork.h>
#include <sys/queue.h>

#include "base/heap.h"
#include "base/pipes.h"
#include "event/coalesce.h"
#include "event/ledger.h"
#include "event/poller.h"
#include "event/recorder.h"
#include "event/stats.h"

/* A connection's or a datagram's share of the work, beside its bytes. */
#define PFK__WORK_UNIT 64

#ifdef PFK_CHECKED
#define PFK__CHECKED true
#else
#define PFK__CHECKED false
#endif

struct pfk_io {
	struct pfk_loop *loop;
	void (*cb)(void *arg, unsigned ready);
	void *arg;
	int fd;
	uint8_t want;
	uint8_t armed; /* or PFK__ARMED_UNKNOWN, after a restart */
	bool dirty;
	bool active;
	bool once; /* pfk_io_add's: the callback is a transaction */
};

struct pfk__soon {
	TAILQ_ENTRY(pfk__soon) link;
	void (*cb)(void *arg);
	void *arg;
	uint64_t order; /* of arrival, from 1; 0: not queued */
};

TAILQ_HEAD(pfk__soon_list, pfk__soon);

struct pfk_timer {
	struct pfk__heap_node node; /* first: the heap hands it back */
	struct pfk_loop *loop;
	struct pfk_timer **handle; /* the caller's, or NULL */
	void (*cb)(void *arg);
	void *arg;
};

/* Before the first order to drain. */
#define PFK__NO_DRAIN (-1)

/* An object that drains with the loop. */
struct pfk__member {
	LIST_ENTRY(pfk__member) link;
	void (*drain)(struct pfk__member *m, enum pfk_drain how);
	int drained; /* the last enum pfk_drain it was told, or PFK__NO_DRAIN */
	bool light;  /* a drained loop ends without waiting for it */
};

struct pfk__registration {
	struct pfk_io *io;
	uint32_t generation;
};

struct pfk__batch;
struct pfk_transport;

/*
 * Sockets of one kind, for a supervisor that must not know the transports:
 * server.c sets that of TCP and udp.c that of UDP with their first socket;
 * worker.c calls them when the master orders it.
 */
struct pfk__serving {
	/* Serve the socket of another slot, too; on failure fd is the
	 * caller's.  And close all that were adopted from the owner. */
	int (*adopt)(struct pfk_loop *l, int fd, int owner);
	void (*release)(struct pfk_loop *l, int owner);
	/* Send all connections to other processes, or receive those of one; fd
	 * is a hand-over channel and belongs to the callee, see handover.h.
	 * NULL where there are no connections. */
	void (*give)(struct pfk_loop *l, int fd, bool last);
	void (*take)(struct pfk_loop *l, int fd, bool bounded, int version);
	/* Write all connections into a file (event/connections.h): how many,
	 * or -1 with errno.  NULL where there are none. */
	int (*list)(struct pfk_loop *l, int fd);
	/* Reset those of the peer (transport/kill.h).  NULL likewise. */
	int (*kill)(struct pfk_loop *l, const struct pfk_addr *peer);
	/* The invariants of all its sockets; or NULL. */
	void (*check)(struct pfk_loop *l);
	/*
	 * In a successor of a worker that was killed: go on with everything
	 * that the ledger tells of.  `accepted` is a connection from `listener`
	 * that has no record, or -1.  -1 with errno: nothing was begun.
	 */
	int (*rebuild)(struct pfk_loop *l, int accepted, int listener);
};

/* The callback that a transaction (transport/tx.h) is made of. */
enum pfk__tx_kind {
	PFK__TX_NONE,
	PFK__TX_ONCE, /* no successor runs it again; all others it does */
	PFK__TX_MADE,
	PFK__TX_RECEIVED,
	PFK__TX_EOF,
	PFK__TX_WRITE_PAUSED,
	PFK__TX_WRITE_RESUMED,
	PFK__TX_DRAINING,
	PFK__TX_LOST,
	PFK__TX_RESUMED
};

struct pfk_loop {
	LIST_ENTRY(pfk_loop) link;
	unsigned forks; /* of its process: fork.h */
	bool complained_fork;
	bool running;
	const struct pfk__poller *poller;
	void *backend;
	struct pfk__registration *table;
	int table_size;
	int *dirty;
	int dirty_len, dirty_size;
	size_t ios;
	size_t ios_peak;        /* the most since memory was given back */
	uint64_t trim_at_ns;    /* memory is given back then; 0: never */
	uint64_t refused_at_ns; /* the back-end refused one; 0: none */
	bool complained;        /* the refusal was logged */
	uint64_t complained_ns; /* the time of that line */
	struct pfk__heap timers;
	struct pfk__soon_list soon;
	uint64_t soon_order;
	LIST_HEAD(, pfk__member) members;
	size_t holders; /* members that are not light, and pfk_loop_hold's */
	size_t held;    /* the latter alone */
	bool clients_light; /* connections that the program opens are light */
	bool yields; /* this loop need not wake for sockets of all workers */
	size_t signals;
	struct pfk_io wake; /* the signals' pipe */
	uint64_t now;
	uint64_t turns;
	uint64_t work; /* received bytes, and units besides */
	struct pfk__coalesce coalesce;
	bool may_rest;
	/* A copy of `now`, by each turn, and whether the loop has all the
	 * connections that it may have: both may be shared with the master. */
	uint64_t *beat;
	uint64_t own_beat;
	uint32_t *full;
	uint32_t own_full;
	/* Never NULL; both may be shared with the master, too. */
	struct pfk__stats *stats;
	struct pfk__recorder *recorder;
	struct pfk__stats *own_stats;
	struct pfk__recorder *own_recorder;
	uint64_t cpu_base_ns; /* used by predecessors of this process */
	struct pfk_limits limits;
	struct pfk__limits *admission; /* by these, while it has a server */
	struct pfk__batch *batch;      /* the datagram endpoints', or NULL */
	struct pfk__ledger *ledger;    /* the worker's, or own_ledger */
	struct pfk__ledger own_ledger;
	void *scratch; /* the ledger's; between two callbacks any code may
			* use it */
	struct pfk__pipes pipes; /* the transports', for splice(2) */
	/*
	 * tx.h: the depth of nested transactions, and the transports that this
	 * transaction has touched.  tx_end is NULL until something of the loop
	 * can be a part of one.  The outermost callback is of this kind, for
	 * this connection.
	 */
	unsigned tx_depth;
	void (*tx_end)(struct pfk_loop *l);
	enum pfk__tx_kind tx_kind;
	int tx_fd;
	SLIST_HEAD(, pfk_transport) tx_touched;
	bool tx_state; /* the transaction has changed the worker's state */
	bool tx_deeds; /* it has changed a zone */
	bool
	    tx_full; /* it takes no more input: deeds fill half of their room */
	/* cork.h: called after a callback while corked is not NULL. */
	struct pfk_transport *corked;
	void (*uncork)(struct pfk_loop *l);
	char *cork_bytes;
	size_t cork_len;
	/* input.h: data_received runs for `giving`, with `given` bytes. */
	const struct pfk_transport *giving;
	size_t given;
	/* By enum pfk_kind; NULL while the loop serves none of that kind. */
	const struct pfk__serving *serving[2];
	/* Set by worker.c, called by handover.c: a giver has given all. */
	void (*taken)(void *arg);
	/*
	 * The same: the givers have ended, n connections found no taker, and the
	 * protocols of `later` others want to be asked again.
	 */
	void (*kept)(void *arg, size_t n, size_t later);
	void *taken_arg; /* of both */
	/* connector.c: end the operations of a loop that is freed. */
	void (*drop_connectors)(struct pfk_loop *l);
	/* shortage.c: the last line about one, and those since then. */
	uint64_t shortage_ns;
	unsigned shortages;
	/* Set by master.c, called by loop_check.c: the master's invariants. */
	void (*check)(void *arg);
	void *check_arg;
	struct pfk__soon drain;
	unsigned stale_turns; /* that brought nothing but stale events */
	int drained;          /* as a member's */
	uint64_t spread_ns;   /* in which a stop tells all connections */
	bool stop;
};

/* Whether it may rest between its turns: coalesce.h; off in a new loop. */
void pfk__loop_coalesce(struct pfk_loop *l, bool on);

/* The clock itself; l->now is its value at the turn's begin. */
uint64_t pfk__clock_now(void);

/* Whether there is a back-end of the name, which may be NULL. */
#define PFK__BACKENDS "epoll, poll or auto"
bool pfk__loop_knows(const char *backend);

/*
 * A loop that keeps its records in the ledger, which outlives it.  With a
 * ledger that a predecessor filled, it goes on with that one's poller, if the
 * back-end has a descriptor.
 */
struct pfk_loop *pfk__loop_new_with(const char *backend,
    struct pfk__ledger *ledger);

/* As pfk_loop_run, for the program's call. */
int pfk__loop_run(const char *call, struct pfk_loop *l);

/* With all that is on it, and for NULL it does nothing. */
void pfk__loop_free(struct pfk_loop *l);

/*
 * Embedded registrations: the owner keeps the memory.  Starting one makes no
 * system call; where the back-end cannot watch such a descriptor at all, cb
 * gets PFK_FAULT later.
 */
int pfk__io_start(struct pfk_loop *l, struct pfk_io *io, int fd, unsigned want,
    void (*cb)(void *arg, unsigned ready), void *arg);
/*
 * The same for a descriptor that a predecessor's record tells of: the poller
 * may watch it already.
 */
int pfk__io_resume(struct pfk_loop *l, struct pfk_io *io, int fd, unsigned want,
    void (*cb)(void *arg, unsigned ready), void *arg);
/*
 * Tells the back-end at once: a close(2) alone would not, where another
 * process has the descriptor too.
 */
void pfk__io_stop(struct pfk_io *io);
/*
 * Like pfk__io_stop, without its system call: only if the owner closes fd next
 * and no other process was given it, because the close ends the watch then.
 * Where a forked child has fd all the same, the loop notices stale events and
 * makes a new back-end.
 */
void pfk__io_abandon(struct pfk_io *io);
void pfk__io_want(struct pfk_io *io, unsigned want);

/* Embedded soon-callbacks; adding a queued one does nothing. */
void pfk__soon_add(struct pfk_loop *l, struct pfk__soon *s,
    void (*cb)(void *arg), void *arg);
void pfk__soon_cancel(struct pfk_loop *l, struct pfk__soon *s);

void pfk__member_add(struct pfk_loop *l, struct pfk__member *m,
    void (*drain)(struct pfk__member *m, enum pfk_drain how));
void pfk__member_remove(struct pfk_loop *l, struct pfk__member *m);
void pfk__member_lighten(struct pfk_loop *l, struct pfk__member *m);

/*
 * timer.c: around a callback of the program's that is not a protocol's.  It is a
 * transaction, but no successor runs it again.  begin returns whether there is an
 * end to come.
 */
bool pfk__once_begin(struct pfk_loop *l);
void pfk__once_end(struct pfk_loop *l);

static inline void
pfk__once(struct pfk_loop *l, void (*cb)(void *arg), void *arg)
{
	bool begun = pfk__once_begin(l);

	cb(arg);
	if (begun)
		pfk__once_end(l);
}

/* After a callback: send the bytes that it has left. */
static inline void
pfk__callback_ends(struct pfk_loop *l)
{
	if (l->corked != NULL)
		l->uncork(l);
}

/*
 * loop_check.c: abort unless the invariants hold, those of the transports and
 * the master too.  Called at the end of turns in a build with PFK_CHECKED.
 */
void pfk__loop_check(struct pfk_loop *l);

/*
 * ledger_check.c: abort unless the kernel has the descriptors, and the epoll set the
 * interest, that the ledger and the loop tell of.
 */
void pfk__ledger_check(const struct pfk_loop *l);

/* signal.c: the part that the loop calls. */
void pfk__signals_release(struct pfk_loop *l);

#endif
