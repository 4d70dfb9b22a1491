/*
 * acceptor.h: one listening socket of a server.
 *
 * A server has its own, and those that it has adopted: the sockets of the same
 * address that belong to another worker's slot, while that one cannot serve.
 */
#ifndef PFK_TRANSPORT_ACCEPTOR_H
#define PFK_TRANSPORT_ACCEPTOR_H

#include <sys/queue.h>

#include "event/loop.h"

struct pfk_server;
struct pfk__waiter;

#define PFK__OWN (-1)

struct pfk__acceptor {
	LIST_ENTRY(pfk__acceptor) link;
	struct pfk_io io;
	struct pfk_server *server;
	int owner;     /* the slot that it was adopted from, or PFK__OWN */
	unsigned want; /* while it accepts */
};

/* Accept from fd, which is the acceptor's from then on. */
int pfk__acceptor_open(struct pfk_server *s, int fd, int owner);
void pfk__acceptor_close(struct pfk__acceptor *a);

/* Serve a connection that was accepted already. */
void pfk__acceptor_add(struct pfk_server *s, int fd);

/* Accept and serve the connections that are queued now. */
void pfk__acceptors_flush(struct pfk_server *s);

/* Accept again, after pfk__limits_wait. */
void pfk__acceptors_resume(struct pfk__waiter *w);

/* Accept from fd by the server of its address; ENOENT: there is none. */
int pfk__acceptor_adopt(struct pfk_loop *l, int fd, int owner);

/* Release the adopted listeners of the owner. */
void pfk__acceptors_release(struct pfk_loop *l, int owner);

#endif
