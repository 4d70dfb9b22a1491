/*
 * A stream protocol that records its callbacks, and a client that drinks the
 * sent bytes, both on the same loop.
 */
#ifndef RECORD_H
#define RECORD_H

#include <prefork.h>

enum record_point {
	RECORD_MADE,
	RECORD_DATA,
	RECORD_EOF,
	RECORD_PAUSE,
	RECORD_RESUME,
	RECORD_DRAIN,
	RECORD_LOST,
	RECORD_POINTS
};

#define RECORD_CONNS 16

/* One connection; it stays readable after connection_lost. */
struct record {
	struct recorder *owner;
	struct pfk_transport *tr; /* NULL after connection_lost */
	int calls[RECORD_POINTS];
	int late; /* callbacks after connection_lost */
	int error;
	size_t bytes;
	char text[64]; /* the first of them */
};

struct recorder {
	struct pfk_protocol protocol;
	/* Actions at the points. */
	void (*at[RECORD_POINTS])(struct record *r);
	bool refuse;   /* every connection */
	bool echo;     /* send received bytes back */
	bool keep_eof; /* eof_received returns true */
	int calls[RECORD_POINTS];
	int late;
	struct record conns[RECORD_CONNS];
};

void recorder_init(struct recorder *rec);

/*
 * The byte at an offset of the stream that record_write sends and a drinker
 * checks.
 */
char record_byte(size_t at);

/* Write n such bytes, from the first. */
int record_write(struct pfk_transport *tr, size_t n);

/* A non-blocking client: reads as the loop finds it readable. */
struct drinker {
	int fd;
	struct pfk_io *io;
	size_t got;
	int wrong; /* bytes that differ from record_byte */
	int ended; /* 1: FIN or an error has come */
	int error; /* errno, or 0 for FIN */
};

void drinker_start(struct drinker *d, struct pfk_loop *l, int fd);
/* Stop, and close the descriptor. */
void drinker_close(struct drinker *d);

#endif
