/*
 * Two loops, as of two processes, between which connections are handed over.
 */
#ifndef HANDOVER_H
#define HANDOVER_H

#include <prefork.h>

#include "record.h"

/* One at a time. */
extern struct handover {
	const char *backend;
	struct pfk_loop *from, *to;
	struct pfk_server *giver, *taker;
	struct pfk_addr addr;
	struct recorder old, new;
	struct record resumed[4];
	int n_resumed, taken, fds_before;
	bool refuse;      /* what is handed over */
	ssize_t instead;  /* hand_over's answer, if not 0 */
	size_t state_len; /* or a state that is so long */
	size_t got_state; /* as far as it is right */
	size_t kept, kept_later;
	size_t written, unsent; /* see handover_write */
	/* In hand_over, and while it is on its way. */
	void (*leaving)(void);
	void (*on_its_way)(struct pfk_transport *tr);
} ho;

/* A server on each loop, for one address; ho.backend is set before. */
void handover_begin(void);

/* A client of the old one's. */
int handover_client(void);

/* The old one drains and gives; both loops turn until it has ended. */
void handover_hand(void);

/* As much as the socket takes, and a little more than ho.unsent. */
void handover_write(struct record *r);

/* Close all, and look whether all has been tidied up. */
void handover_end(const char *name);

#endif
