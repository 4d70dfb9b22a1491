/*
 * handover.h: established connections go from one process to another.
 *
 * Both ends of a sequenced-packet socket pair; a packet is one connection: its
 * descriptor, where it belongs, its protocol's state and its unsent bytes,
 * which are in a file of their own when they are many.
 * What has not been read stays in the socket.  The receiver answers each
 * packet, in order, with one byte: taken or refused.
 *
 * Invariants:
 *  1. a transport is GIVEN from its packet's sending to the answer; then it is
 *     LOST here, or OPEN again;
 *  2. GIVEN transports are in `given`, in the order of their packets, and not
 *     in their server's list.
 */
#ifndef PFK_TRANSPORT_HANDOVER_H
#define PFK_TRANSPORT_HANDOVER_H

struct pfk_loop;

/*
 * Give all connections of l that can be given to who reads at the other end
 * of fd; fd is taken over.  What is refused, or cannot be sent, stays.
 */
void pfk__handover_give(struct pfk_loop *l, int fd);

/* Take what comes from fd, which is taken over. */
void pfk__handover_take(struct pfk_loop *l, int fd);

#endif
