/*
 * server.h: a listener's inside, as its transports see it.
 *
 * Invariants:
 *  1. the server lives while its handle does or a transport is left;
 *  2. `open` is true until it stops accepting; then `acceptors` is empty.
 */
#ifndef PFK_TRANSPORT_SERVER_H
#define PFK_TRANSPORT_SERVER_H

#include "base/user.h"
#include "event/loop.h"
#include "transport/limits.h"
#include "transport/roster.h"
#include "transport/tcp.h"

struct pfk_server {
	struct pfk__roster roster; /* its connections */
	struct pfk__waiter waiter;
	LIST_HEAD(, pfk__acceptor) acceptors; /* its own, and adopted ones */
	void (*release)(
	    void *arg); /* of a roster's arg that is ours; or NULL */
	struct pfk__user user;
	struct pfk__limits *limits;
	struct pfk_addr local; /* the listener's */
	int listener;          /* its descriptor's number */
	bool open;
	bool handle; /* the user still has one */
};

/*
 * misuse.c: -1 with EINVAL, and a line: the call has been given a protocol that
 * cannot work; a descriptor that is no listener, or no socket for datagrams.
 */
int pfk__protocol_check(const char *call, const struct pfk_protocol *proto);
int pfk__listener_check(const char *call, struct pfk_loop *l, int fd);
int pfk__datagram_check(int fd);
/* The same for a connected stream socket; and its peer. */
int pfk__connection_check(int fd, struct pfk_addr *peer);

/* As pfk_serve, for the program's call. */
struct pfk_server *pfk__serve(const char *call, struct pfk_loop *l, int fd,
    const struct pfk_protocol *proto, void *arg,
    const struct pfk_server_options *options);

/* The loop's servers, one after the other; NULL before the first. */
struct pfk_server *pfk__server_next(const struct pfk_loop *l,
    const struct pfk_server *s);

/* The one that accepts on the address, or NULL. */
struct pfk_server *pfk__server_find(const struct pfk_loop *l,
    const struct pfk_addr *local);

/* A transport of the server for fd; NULL: fd stays the caller's. */
struct pfk_transport *pfk__server_add(struct pfk_server *s, int fd,
    const struct pfk_addr *peer);

/*
 * The same for a connection that another worker has admitted: a source that has
 * too many here has not come anew.
 */
struct pfk_transport *pfk__server_take(struct pfk_server *s, int fd,
    const struct pfk_addr *peer);

/*
 * A transport of the server for fd, as a predecessor's record tells of it; no
 * limit refuses it, because it was admitted before.
 */
struct pfk_transport *pfk__server_rebuild(struct pfk_server *s, int fd,
    struct pfk__record *r);

/* The server with this number as its own listener, or NULL. */
struct pfk_server *pfk__server_of(const struct pfk_loop *l, int listener);

/* The transport has left the roster: count it, and free its place. */
void pfk__server_forget(struct pfk_server *s, const struct pfk_transport *tr);

/* Accept no more; first the clients that wait, but for PFK_DRAIN_NOW. */
void pfk__server_shut(struct pfk_server *s, enum pfk_drain how);

/* Nothing is left but perhaps the handle: without one, free it. */
void pfk__server_release(struct pfk_server *s);

#endif
