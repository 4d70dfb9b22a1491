/*
 * server.h: a listener's inside, as its transports see it.
 *
 * Invariants:
 *  1. the server lives while its handle does or a transport is left;
 *  2. `open` is true until it stops accepting; then `acceptors` is empty;
 *  3. it is a member of the loop while open or a transport is left.
 */
#ifndef PFK_TRANSPORT_SERVER_H
#define PFK_TRANSPORT_SERVER_H

#include "base/user.h"
#include "event/loop.h"
#include "transport/limits.h"
#include "transport/tcp.h"

struct pfk_server {
	struct pfk__member member; /* first: the loop hands it back */
	struct pfk__waiter waiter;
	LIST_HEAD(, pfk__acceptor) acceptors; /* its own, and adopted ones */
	struct pfk_loop *loop;
	const struct pfk_protocol *proto;
	void *arg;
	void (*release)(void *arg); /* of an arg that is ours; or NULL */
	struct pfk__user user;
	struct pfk__limits *limits; /* NULL: a client's */
	struct pfk_addr local;      /* the listener's */
	int listener; /* its descriptor's number; -1: a client's */
	TAILQ_HEAD(pfk__transports,
	    pfk_transport) transports; /* longest idle first */
	size_t count;                  /* of them, the given ones too */
	struct pfk_timer *idle;
	struct pfk_timer *spread; /* a stop: some are not told yet */
	size_t at_once;
	uint64_t idle_ns;
	uint64_t slack_ns;
	bool quickack;
	bool open;
	bool handle; /* the user still has one */
	bool member_of_loop;
};

/*
 * misuse.c: -1 with EINVAL, and a line: the call has been given a protocol that
 * cannot work; a descriptor that is no listener, or no socket for datagrams.
 */
int pfk__protocol_check(const char *call, const struct pfk_protocol *proto);
int pfk__listener_check(struct pfk_loop *l, int fd);
int pfk__datagram_check(int fd);
/* The same for a connected stream socket; and its peer. */
int pfk__connection_check(int fd, struct pfk_addr *peer);

/* idle.c: set the timer for the one that is idle longest. */
void pfk__server_watch_idle(struct pfk_server *s);

/* The transport has moved bytes. */
void pfk__server_touch(struct pfk_server *s, struct pfk_transport *tr);

/* How long it has not; 0 where nobody wants to know. */
uint64_t pfk__server_idle_ns(const struct pfk_server *s,
    const struct pfk_transport *tr);

/* A new one has not for that long, by the word of another process. */
void pfk__server_backdate(struct pfk_server *s, struct pfk_transport *tr,
    uint64_t idle_ns);

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

/*
 * A transport without a listener, for the connected fd; its protocol is not
 * asked yet.  NULL: fd stays the caller's.
 */
struct pfk_transport *pfk__client_new(struct pfk_loop *l, int fd,
    const struct pfk_addr *peer, const struct pfk_protocol *proto,
    bool quickack);

/* The transport is gone. */
void pfk__server_forget(struct pfk_server *s, struct pfk_transport *tr);

#endif
