/*
 * handover.h: established connections go from one process to another.
 *
 * Both ends of a sequenced-packet socket pair; a packet is one connection: its
 * descriptor, where it belongs, its protocol's state and its unsent bytes,
 * which are in a file of their own when they are many.  Unread bytes stay in
 * the socket.  The receiver answers each packet, in order, with one byte:
 * taken, refused for good, or full.  A worker that leaves may give to several
 * others at a time, to each until it is full.
 *
 * Invariants:
 *  1. a transport is GIVEN from its packet's sending to the answer; then it is
 *     LOST here, or OPEN again;
 *  2. GIVEN transports are in `given`, in the order of their packets, and not
 *     in their server's list.
 */
#ifndef PFK_TRANSPORT_HANDOVER_H
#define PFK_TRANSPORT_HANDOVER_H

#include <stdbool.h>

struct pfk_loop;

/*
 * Give all connections of l that can be given to the process at the other end
 * of fd, which is taken over, or -1; it begins with the last of some channels,
 * and gives to each in turn.  When all channels have ended and connections are
 * left that could be given, because the other ends are full or dead, the loop's
 * `kept` tells.
 */
void pfk__handover_give(struct pfk_loop *l, int fd, bool last);

/*
 * Take the connections that come from fd, which the loop owns from then on.
 * bounded: no more than max-connections, and a few descriptors stay free.  Of
 * version 1 (lib/process/takeover.h), the giver's program expects single bytes as
 * answers, in order.
 */
void pfk__handover_take(struct pfk_loop *l, int fd, bool bounded, int version);

#endif
