/*
 * udp.h: a datagram endpoint, and the batch that a loop's endpoints share.
 *
 * A train is what leaves by one send: datagrams to one peer from one of our
 * addresses, all of one length but the last, which may be shorter.  More than
 * one of them the kernel segments: UDP_SEGMENT in udp(7).
 *
 * Invariants:
 *  1. answers are queued only while a batch is delivered, and only those of
 *     the endpoint that it is delivered to, batch->reader: between two
 *     callbacks of the loop the queue is empty;
 *  2. a piece is contiguous and holds whole datagrams of its train;
 *  3. only the youngest train to a peer grows, and trains leave in the order
 *     in which they were begun: so order is kept per peer.
 */
#ifndef PFK_TRANSPORT_UDP_H
#define PFK_TRANSPORT_UDP_H

#include "event/loop.h"

#define PFK__BATCH 64

/* Room for what is ours, and for what else the socket has switched on. */
union pfk__control {
	struct cmsghdr align;
	char room[256];
};

struct pfk__train {
	struct pfk_addr to;   /* its len 0: who the socket is connected to */
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

struct pfk__batch {
	struct pfk_datagram *reader; /* or NULL */
	/* What came; kept ready for the next recvmmsg(2). */
	struct mmsghdr in[PFK__BATCH];
	struct iovec in_iov[PFK__BATCH];
	struct pfk_addr in_addr[PFK__BATCH];
	union pfk__control in_control[PFK__BATCH];
	/* What is to go. */
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

/* Count what the kernel drops on the endpoint's socket from now on. */
void pfk__udp_drops_begin(struct pfk_datagram *d);

/* The socket's own count, as a message that was received tells it. */
void pfk__udp_drops_unread(struct pfk_datagram *d, uint32_t kernel);

/* n datagrams found the send buffer full, or failed with h's destination. */
void pfk__udp_drops_unsent(struct pfk_datagram *d, unsigned n);
void pfk__udp_drops_failed(struct pfk_datagram *d, const struct msghdr *h,
    int error, unsigned n);

/* Log what has not been logged, before the socket is closed. */
void pfk__udp_drops_end(struct pfk_datagram *d);

/* Empty a new batch's queue. */
void pfk__udp_send_clear(struct pfk__batch *b);

/*
 * Send all that the reader has queued; what fails is dropped, the rest goes
 * on.  Does nothing for another endpoint.
 */
void pfk__udp_send_flush(struct pfk_datagram *d);

#endif
