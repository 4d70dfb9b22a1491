/*
 * kill.h: end the connections of one peer, in whichever worker has them.
 *
 * Invariants:
 *  1. each order has a ticket, and a worker answers its orders in their sequence;
 *  2. the client is answered when no worker's answer is due, or after a second,
 *     and then the silent workers are named;
 *  3. no number is believed: a worker may be hostile.
 */
#ifndef PFK_PROCESS_KILL_H
#define PFK_PROCESS_KILL_H

struct pfk__child;
struct pfk__client;
struct pfk__message;

/* The client waits until the workers have ended the connections of ADDR:PORT. */
void pfk__kill_order(struct pfk__client *c, const char *argument);

/* c has carried an order out. */
void pfk__kill_answered(struct pfk__child *c, const struct pfk__message *msg);

/* c will not answer: its worker has died. */
void pfk__kill_forget(struct pfk__child *c);

/* The client has waited long enough. */
void pfk__kill_late(struct pfk__client *c);

#endif
