/*
 * roster.h: the connections of a server, or one that the program has opened.
 *
 * They have one protocol, stand in the order of their last activity, and drain
 * with the loop.
 *
 * Invariants:
 *  1. each transport of `transports` has this roster; `count` has those, too,
 *     that are given to another process;
 *  2. it is a member of the loop while a transport is left or its server accepts;
 *  3. without a server it has one transport, and is freed with that.
 */
#ifndef PFK_TRANSPORT_ROSTER_H
#define PFK_TRANSPORT_ROSTER_H

#include "event/loop.h"

struct pfk__roster {
	struct pfk__member member; /* first: the loop hands it back */
	struct pfk_loop *loop;
	struct pfk_server *server; /* NULL: the program has opened it */
	const struct pfk_protocol *proto;
	void *arg; /* connection_made's */
	TAILQ_HEAD(pfk__transports,
	    pfk_transport) transports; /* longest idle first */
	size_t count;
	struct pfk_timer *idle;
	struct pfk_timer *spread; /* a stop: some are not told yet */
	size_t at_once;
	uint64_t idle_ns;
	uint64_t slack_ns;
	bool quickack;
	bool is_member;
};

/* The roster of a server; a member of the loop from now on. */
void pfk__roster_init(struct pfk__roster *r, struct pfk_loop *l,
    struct pfk_server *s);

void pfk__roster_enter(struct pfk__roster *r, struct pfk_transport *tr);

/* The transport is gone. */
void pfk__roster_leave(struct pfk_transport *tr);

/* Leave the loop, and end the server, unless something is left of both. */
void pfk__roster_end_if_done(struct pfk__roster *r);

/* The loop's rosters, one after the other; NULL before the first. */
struct pfk__roster *pfk__roster_next(const struct pfk_loop *l,
    const struct pfk__roster *r);

/*
 * A transport without a listener, for the connected fd; its protocol is not
 * asked yet.  NULL: fd stays the caller's.
 */
struct pfk_transport *pfk__roster_of_one(struct pfk_loop *l, int fd,
    const struct pfk_addr *peer, const struct pfk_protocol *proto,
    bool quickack);

/* The transport has moved bytes. */
void pfk__roster_touch(struct pfk_transport *tr);

/* The time since then; 0 where no timeout asks for it. */
uint64_t pfk__roster_idle_ns(const struct pfk_transport *tr);

/* A new transport has moved none for that long, by the word of another process. */
void pfk__roster_backdate(struct pfk_transport *tr, uint64_t idle_ns);

/* Abort unless the invariants hold. */
void pfk__roster_check(const struct pfk__roster *r);

#endif
