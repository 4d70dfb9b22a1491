/*
 * tcp.h: a TCP transport's inside.
 *
 * Invariants:
 *  1. there are unsent bytes, in `out` or in a pipe (join.h), exactly while
 *     the socket refused some, and PFK_WRITE is wanted exactly then; but for
 *     the one connection of the loop that is corked (cork.h), and within a
 *     transaction (tx.h);
 *  2. PFK_READ is wanted while neither paused, nor ended by the peer, nor LOST,
 *     nor joined to a transport with unsent bytes; a closing transport reads to
 *     discard;
 *  3. the state only grows, but for GIVEN, which may become OPEN again;
 *  4. in LOST the descriptor is out of the poller but open, so that addresses
 *     can be asked for, and connection_lost is queued; the transport is freed
 *     when that has returned, never before;
 *  5. the server's list is in order of last activity, to within its slack;
 *  6. the connection's record in the ledger has its flags, its peer and its
 *     marks; with the kernel's counters they are all that a successor of this
 *     process needs to go on.
 */
#ifndef PFK_TRANSPORT_TCP_H
#define PFK_TRANSPORT_TCP_H

#include <sys/queue.h>

#include "event/loop.h"
#include "transport/outq.h"

#define PFK__READ_BYTES 65536u

/*
 * How many bytes a connection may read at once: less where many peers do not read,
 * because the answer to them may have to wait in chunks.
 */
static inline size_t
pfk__tcp_may_read(const struct pfk_loop *l)
{
	return pfk__chunks_are_short(l->ledger) ? PFK__CHUNK_BYTES
						: PFK__READ_BYTES;
}

enum pfk__tcp_state {
	PFK__TCP_OPEN,
	PFK__TCP_GIVEN, /* on its way to another process: handover.h */
	PFK__TCP_CLOSING,
	PFK__TCP_LOST
};

/* The flags of a connection's record. */
#define PFK__FLAG_MADE 0x01u /* connection_made has returned */
#define PFK__FLAG_PAUSED 0x02u
#define PFK__FLAG_TOLD_PAUSE 0x04u
#define PFK__FLAG_EOF_RECEIVED 0x08u
#define PFK__FLAG_EOF_WANTED 0x10u
#define PFK__FLAG_EOF_SENT 0x20u
#define PFK__FLAG_CLOSING 0x40u
#define PFK__FLAG_TOLD_DRAIN 0x80u
#define PFK__FLAG_SHARED 0x100u
#define PFK__FLAG_ECHOES 0x200u /* joined to itself: the kernel's counts tell */
#define PFK__FLAG_LOST 0x400u   /* connection_lost is due */
#define PFK__FLAG_GONE 0x800u   /* it was called: only close(2) is left */
#define PFK__FLAG_EXACTLY 0x1000u /* enum pfk__receive */
#define PFK__FLAG_UNTIL 0x2000u

struct pfk__owned;

/* How the input is divided: as it comes, or into messages. */
enum pfk__receive {
	PFK__RECEIVE_ANY,
	PFK__RECEIVE_EXACTLY, /* of `want` bytes */
	PFK__RECEIVE_UNTIL    /* up to and with `last`, `want` bytes at most */
};

/* input.h */
struct pfk__input {
	struct pfk__outq left; /* the unconsumed bytes */
	size_t left_len;       /* how many there will be after the commit */
	size_t scanned;        /* of these, the first ones without `last` */
	size_t want;
	unsigned changes; /* of the mode, so far */
	size_t unread;    /* by the callback under way */
	uint8_t mode;
	char last;
	bool due; /* the mode has changed: `left` is given without more */
	bool
	    long_ones; /* a message was longer than a read: read more at once */
	struct pfk__soon soon;
};

/* The state that few connections need, so that the others cost less memory. */
struct pfk__extra {
	STAILQ_HEAD(, pfk__owned) owned; /* owned.h */
	struct pfk__input in;
};

struct pfk_transport {
	struct pfk_io io;
	const struct pfk_protocol *proto;
	void *self;
	struct pfk__roster *roster;
	TAILQ_ENTRY(pfk_transport) link;
	uint64_t active_ns;
	struct pfk__soon soon;
	struct pfk__outq out;
	/* Bytes that the socket gave and took, from the first one on. */
	uint64_t received, sent;
	struct pfk__joint *joint; /* join.h; NULL: there is no join or pipe */
	struct pfk__extra *extra; /* or NULL */
	struct pfk__deadlines *deadlines; /* deadline.h; or NULL */
	struct pfk_timer *linger;
	struct pfk_addr peer;
	uint32_t low, high;
	int error;
	uint8_t state;
	uint8_t bulk;          /* how large the reads are, while it is joined */
	bool echoes : 1;       /* joined to itself */
	bool made : 1;         /* connection_made has returned */
	bool paused : 1;       /* reading, by the protocol */
	bool told_pause : 1;   /* pause_writing was called last */
	bool eof_received : 1; /* the peer's FIN */
	bool eof_wanted : 1;   /* our FIN, after the unsent bytes */
	bool eof_sent : 1;
	bool stays : 1;        /* it cannot be handed over */
	bool later : 1;        /* not in this offer: its protocol is busy */
	bool close_wanted : 1; /* once it is no longer GIVEN */
	bool abort_wanted : 1; /* the same */
	bool told_drain : 1;
	bool shared : 1;    /* another process has or had the descriptor too */
	bool corked : 1;    /* its queue is sent when the callback returns */
	bool survives : 1;  /* its callbacks are transactions: tx.h */
	bool touched : 1;   /* by the transaction under way */
	bool new_block : 1; /* which has written the block's other copy */
	bool gone : 1;      /* connection_lost has returned */
	/* The side that ended it, for the counters. */
	bool idled : 1; /* the idle timeout */
	bool ended : 1; /* the protocol, before the peer */
	bool cut : 1;   /* the worker's end */
	SLIST_ENTRY(pfk_transport) tx_link;
};

/* Whether the protocol must stop writing. */
static inline bool
pfk__tcp_is_full(const struct pfk_transport *tr)
{
	bool is_short = pfk__chunks_are_short(tr->io.loop->ledger);

	return tr->out.len > (is_short ? 0 : tr->high);
}

/*
 * A transport for the connected socket fd of server, which it owns from then
 * on.  NULL with errno where there is no memory; fd then stays the caller's.
 */
struct pfk_transport *pfk__tcp_new(struct pfk__roster *roster, int fd,
    const struct pfk_addr *peer);

/*
 * The same for one that a predecessor's record tells of, as it left it; the
 * protocol is not asked yet.
 */
struct pfk_transport *pfk__tcp_rebuild(struct pfk__roster *roster, int fd,
    struct pfk__record *r);

/* Make its record, and restore a transport from a predecessor's. */
void pfk__tcp_record(struct pfk_transport *tr);
void pfk__tcp_restore(struct pfk_transport *tr, struct pfk__record *r);

/* Whether the registration is a transport's. */
bool pfk__tcp_is(const struct pfk_io *io);

/* Say in its record whether a successor could go on with it. */
void pfk__tcp_enter(const struct pfk_transport *tr);

/*
 * From the loop: send and deliver everything that was due when the predecessor
 * died.
 */
void pfk__tcp_go_on(struct pfk_transport *tr);
/* Before splice(2): another process that has it may have cleared O_NONBLOCK. */
void pfk__tcp_unblock(const struct pfk_transport *tr);

/*
 * The bytes of the connection that the kernel has given to this process and its
 * predecessors, and taken from them, so far.  Neither counts a FIN.  -1: it is
 * no TCP socket.
 */
int pfk__tcp_counts(int fd, uint64_t *received, uint64_t *sent);

/* The time of its accept(2), by any process; 0: unknown. */
uint64_t pfk__tcp_since(const struct pfk_transport *tr);
void pfk__tcp_backdate(const struct pfk_transport *tr, uint64_t since_ns);

/* The connection was another process's: note where its counts are now. */
void pfk__tcp_baseline(const struct pfk_transport *tr);

/*
 * The scratch area is about to get bytes of `from`, to be sent by `to`; and they
 * are dealt with.
 */
static inline void
pfk__hand_take(const struct pfk_transport *from, const struct pfk_transport *to)
{
	struct pfk__hand *h = &from->io.loop->ledger->head->hand;

	h->len = 0;
	h->at = 0;
	h->again = 0;
	h->sent = to->sent;
	h->received = from->received;
	pfk__in_order();
	h->fd = from->io.fd;
	pfk__in_order();
}

static inline void
pfk__hand_empty(const struct pfk_loop *l)
{
	pfk__in_order();
	l->ledger->head->hand.fd = -1;
}

/*
 * Its state has changed: within a transaction it gets a new version by the
 * commit, else at once.
 */
void pfk__tcp_note(struct pfk_transport *tr);

/* Write its state into its record, as transaction tx has left it. */
void pfk__tcp_version(struct pfk_transport *tr, uint64_t tx);

/* Its extra, made if there was none; NULL: ENOMEM. */
struct pfk__extra *pfk__need_extra(struct pfk_transport *tr);

/* Call connection_made, and read the bytes that have come already. */
void pfk__tcp_begin(struct pfk_transport *tr, void *arg);

/* The process is about to stop: tell the protocol. */
void pfk__tcp_drain(struct pfk_transport *tr);

/* Close now, without a reset of our own; connection_lost follows. */
void pfk__tcp_end(struct pfk_transport *tr);

/*
 * Give the protocol n received bytes of the scratch area, at buf, as a
 * transaction, as far as it wants them (input.h).
 */
void pfk__tcp_deliver(struct pfk_transport *tr, char *buf, size_t n);

/*
 * For join.c.  Recompute the poll interest of tr, and of the transport that is
 * joined to it.
 */
void pfk__tcp_watch(struct pfk_transport *tr);
/* Handle the result of read(2); false when there is nothing to deliver. */
bool pfk__tcp_received(struct pfk_transport *tr, ssize_t n);
/* Queue; -1 with ENOMEM. */
int pfk__tcp_queue(struct pfk_transport *tr, const void *buf, size_t len);
/* send and queue the rest; -1: it is lost. */
int pfk__tcp_send(struct pfk_transport *tr, const void *buf, size_t len);
/* connection_lost follows. */
void pfk__tcp_lose(struct pfk_transport *tr, int error);
/* shortage.c: a line where the cause is on this machine, at most one a second. */
void pfk__tell_shortage(const struct pfk_transport *tr, int error);

/* The interest that its state asks for. */
unsigned pfk__tcp_interest(struct pfk_transport *tr);

/* tcp_stats.c: count n bytes that were read, before `received` has them. */
void pfk__tcp_count_received(const struct pfk_transport *tr, uint64_t n);
/* Count n bytes that the socket took. */
void pfk__tcp_count_sent(const struct pfk_transport *tr, uint64_t n);

/*
 * Around the handling of a message: the time at its begin, or 0 where it is not
 * timed; and with that the end.  `sent` is how many messages had been sent.
 */
uint64_t pfk__tcp_response_begins(const struct pfk_loop *l);
void pfk__tcp_response_ends(const struct pfk_loop *l, uint64_t begun_ns,
    uint64_t sent);

/* tcp_check.c: abort unless the invariants hold; of all of the loop's. */
void pfk__tcp_check(struct pfk_transport *tr);
void pfk__tcp_check_all(struct pfk_loop *l);
/*
 * tcp_write.c: call pause_writing or resume_writing, if it is due; send queued
 * bytes; send a FIN or close once all is sent, from a soon-callback too.
 */
void pfk__tcp_tell_pause(void *arg);
void pfk__tcp_tell_resume(struct pfk_transport *tr);
void pfk__tcp_flush(struct pfk_transport *tr);
/* Send queued bytes; false when nothing moved, or it is lost. */
bool pfk__tcp_flush_out(struct pfk_transport *tr);
void pfk__tcp_after_flush(struct pfk_transport *tr);
void pfk__tcp_flush_soon(void *arg);
/* All is sent, FIN too: close when the peer has ended, or in a while. */
void pfk__tcp_finish(struct pfk_transport *tr);

/* handover.h: stop while another process may take it; go on, since none did. */
void pfk__tcp_freeze(struct pfk_transport *tr);
void pfk__tcp_thaw(struct pfk_transport *tr);

/*
 * The connection was another process's: ask the protocol to go on with it.
 * -1: it does not.
 */
int pfk__tcp_resume(struct pfk_transport *tr, void *arg, const void *state,
    size_t state_len, const void *unsent, size_t unsent_len);

#endif
