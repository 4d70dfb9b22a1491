/*
 * A non-blocking client that sends and reads at the same time, by the loop,
 * and checks each byte: a pattern that does not repeat soon.
 */
#ifndef PUMP_H
#define PUMP_H

#include <prefork.h>

#define PUMP_CHUNK 262144 /* a call's most */
#define PUMP_MARKS 8

struct pump {
	int fd;
	struct pfk_io *io;
	size_t to_send, sent, got;
	size_t stop_at;            /* reads no further */
	size_t want;               /* got_all says that so many have come */
	const struct pump *source; /* sends the bytes that come; or itself */
	size_t marks[PUMP_MARKS];  /* its urgent bytes' places, ... */
	int n_marks;
	bool skips;                   /* ... which the other side drops */
	size_t at;                    /* of the next byte in the pattern */
	int wrong;                    /* bytes that differ */
	int error;                    /* errno, or 0 for FIN */
	int sent_all, got_all, ended; /* for unit_run_until */
};

/* Take the connected fd over, and read from it. */
void pump_open(struct pump *p, struct pfk_loop *l, int fd);
void pump_close(struct pump *p);
/* The same, with a reset. */
void pump_reset(struct pump *p);

/* Send n more; send no more than has been sent. */
void pump_send(struct pump *p, size_t n);
void pump_enough(struct pump *p);

/* Send the next byte as urgent data, now: nothing may wait to be sent. */
void pump_send_urgent(struct pump *p);

/* Read nothing more; read again. */
void pump_stop(struct pump *p);
void pump_go_on(struct pump *p);

#endif
