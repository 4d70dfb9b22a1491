/*
 * udp.h: a datagram endpoint, and the batch that a loop's endpoints share.
 *
 * A train is sent by one call: datagrams to one peer from one of our addresses,
 * all of one length but the last, which may be shorter.  More than one of them
 * the kernel segments: UDP_SEGMENT in udp(7).
 *
 * Invariants:
 *  1. answers are queued only while a batch is delivered, and only those of
 *     the endpoint that it is delivered to, batch->reader: between two
 *     callbacks of the loop the queue is empty;
 *  2. a piece is contiguous and holds whole datagrams of its train;
 *  3. only the youngest train to a peer grows, and trains leave in the order
 *     in which they were begun: so order is kept per peer;
 *  4. the batch lies in the ledger, and the kernel writes there how far it has
 *     come: a length is PFK__UNTOLD until its message has been received, or
 *     sent.  So a successor of this process delivers again from `from` on, and
 *     no answer that has left leaves twice.
 */
#ifndef PFK_TRANSPORT_UDP_H
#define PFK_TRANSPORT_UDP_H

#include <sys/un.h>

#include "event/loop.h"

#define PFK__BATCH 64
#define PFK__PACKET_BYTES 65536u

/*
 * Room for our ancillary data, and for other kinds that the socket has switched
 * on.
 */
union pfk__control {
	struct cmsghdr align;
	char room[256];
};

/* A sender's address; a name of AF_UNIX is longer than struct pfk_addr. */
union pfk__sender {
	struct pfk_addr addr;
	struct {
		socklen_t len;
		struct sockaddr_un un;
	} local;
};

struct pfk__train {
	struct pfk_addr to;   /* its len 0: the connected peer */
	unsigned sender;      /* of AF_UNIX: 1 more than its number; or 0 */
	struct pfk_addr from; /* its len 0: the socket's own */
	size_t segment;       /* the length of all but the last */
	size_t bytes;
	unsigned n;      /* datagrams */
	bool ended;      /* the last one is shorter */
	int first, last; /* pieces */
	int older;       /* of the same hash, or -1 */
};

struct pfk__piece {
	struct iovec iov;
	int next; /* of the same train, or -1 */
};

/* No datagram has this length. */
#define PFK__UNTOLD UINT32_MAX

/* A datagram of a batch: its message, and where it begins there. */
struct pfk__cursor {
	uint32_t message;
	uint32_t offset;
};

struct pfk__batch {
	struct pfk_datagram *reader; /* or NULL */
	int32_t reading;             /* reader's descriptor, and 1 more; or 0 */
	uint32_t sending;            /* the trains are leaving */
	uint32_t singly;         /* datagrams sent of a train by themselves */
	struct pfk__cursor at;   /* the datagram that is being delivered */
	uint32_t copied;         /* bytes of answers behind its message */
	struct pfk__cursor from; /* the first one that may be unanswered */
	struct pfk__cursor then; /* the same, once the trains have left */
	struct pfk__cursor skip; /* one that is at fault */
	uint32_t skipping;       /* whether there is */
	/* Received messages; kept ready for the next recvmmsg(2). */
	struct mmsghdr in[PFK__BATCH];
	struct iovec in_iov[PFK__BATCH];
	union pfk__sender senders[PFK__BATCH];
	union pfk__control in_control[PFK__BATCH];
	/* Messages to be sent. */
	unsigned n_trains, n_pieces;
	int youngest[PFK__BATCH]; /* train by hash of its peer, or -1 */
	struct pfk__train trains[PFK__BATCH];
	struct pfk__piece pieces[PFK__BATCH];
	/* The same as sendmmsg(2) wants it. */
	struct mmsghdr out[PFK__BATCH];
	struct iovec out_iov[PFK__BATCH];
	union pfk__control out_control[PFK__BATCH];
};

/*
 * The datagrams that an endpoint has lost, as plain counters; those that were
 * dropped while a sibling served the socket too are in both endpoints' counts.
 */
struct pfk__udp_drops {
	uint64_t unread; /* the receive buffer was full */
	uint64_t unsent; /* the send buffer was full */
	uint64_t failed; /* any other error of a send */
	uint64_t unread_logged, unsent_logged, failed_logged;
	uint32_t kernel;           /* the socket's count of unread ones */
	bool connected;            /* a client's: not logged */
	int failed_error;          /* of the last one that failed */
	struct pfk_addr failed_to; /* and its destination */
	uint64_t logged_ns;        /* 0: never */
	struct pfk_timer *report;  /* or NULL: nothing to log */
};

struct pfk_datagram {
	struct pfk__member member; /* first: the loop hands it back */
	struct pfk_io io;
	const struct pfk_datagram_protocol *proto;
	void *arg;
	void *self;
	int owner; /* the slot that it was adopted from, or -1 */
	struct pfk_addr local;
	bool pktinfo;  /* bound to a wildcard: the address comes along */
	bool is_unix;  /* of AF_UNIX: udp_unix.c */
	bool segments; /* the kernel offers UDP_SEGMENT */
	bool closed;
	bool handle; /* the user still has one */
	struct pfk__soon lost;
	struct pfk__soon reported;
	int error; /* to report */
	struct pfk__udp_drops drops;
};

/* error_received, soon, for the user may be sending; of several the last. */
void pfk__udp_report(struct pfk_datagram *d, int error);

/*
 * Count the datagrams that the kernel drops on the endpoint's socket from now
 * on.
 */
void pfk__udp_drops_begin(struct pfk_datagram *d);

/* The socket's own count, as a message that was received tells it. */
void pfk__udp_drops_unread(struct pfk_datagram *d, uint32_t kernel);

/* n datagrams found the send buffer full, or failed with h's destination. */
void pfk__udp_drops_unsent(struct pfk_datagram *d, unsigned n);
void pfk__udp_drops_failed(struct pfk_datagram *d, const struct msghdr *h,
    int error, unsigned n);

/* Log the drops that are not logged yet, before the socket is closed. */
void pfk__udp_drops_end(struct pfk_datagram *d);

/*
 * udp_unix.c: make the batch ready for a socket of AF_UNIX; complete p, which is
 * message i, and false: it was cut; the number of the sender of a datagram in
 * hand, or -1 with errno where `to` is none, or has no name.
 */
#define PFK__PATH_SIZE (sizeof(((struct sockaddr_un *)NULL)->sun_path) + 2)
struct pfk__origin {
	char path[PFK__PATH_SIZE];
	struct ucred cred;
};
void pfk__udp_unix_prepare(struct pfk__batch *b);
bool pfk__udp_unix_meet(struct pfk_datagram *d, struct pfk__batch *b,
    unsigned i, struct pfk_packet *p, struct pfk__origin *o);
int pfk__udp_unix_find(const struct pfk_datagram *d, const struct pfk_addr *to);

/* Make message i of the batch ready to be received into. */
void pfk__udp_prepare(struct pfk__batch *b, unsigned i, char *scratch);

/* Deliver the first n messages, and send the answers. */
void pfk__udp_handle(struct pfk_datagram *d, struct pfk__batch *b, unsigned n);

/* The endpoint from m on that has not been closed, or NULL. */
struct pfk_datagram *pfk__udp_next_open(const struct pfk__member *m);

/* Serve the socket of another slot by the endpoint of its address. */
int pfk__udp_adopt(struct pfk_loop *l, int fd, int owner);

/* In a successor: go on with the predecessor's endpoints (loop.h). */
int pfk__udp_rebuild(struct pfk_loop *l, int accepted, int listener);

/* Send the trains that a predecessor has left, as far as they are sound. */
void pfk__udp_send_rest(struct pfk_datagram *d);
bool pfk__udp_sound(const struct pfk__batch *b, const char *scratch);

/* Send one at once, or count it as failed. */
void pfk__udp_send_one(struct pfk_datagram *d, const struct msghdr *h);

/* Empty a new batch's queue. */
void pfk__udp_send_clear(struct pfk__batch *b);

/*
 * Send all that the reader has queued; a datagram that fails is dropped, and
 * the others are sent.  Does nothing for another endpoint.
 */
void pfk__udp_send_flush(struct pfk_datagram *d);

#endif
