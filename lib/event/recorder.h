/*
 * recorder.h: the last events of a worker, for the time after its death.
 *
 * A ring in memory that the master has, too (process/area.h).  The worker writes
 * an event in full before it counts it, so that a reader after a kill finds at
 * most one event that is not counted.  The reader believes nothing: an event of an
 * unknown kind is passed over.
 */
#ifndef PFK_EVENT_RECORDER_H
#define PFK_EVENT_RECORDER_H

#include <prefork.h>

#include "event/ledger.h"

#define PFK__EVENTS 512
#define PFK__LINES 8
#define PFK__LINE_BYTES 160

enum pfk__happened {
	PFK__HAPPENED_NOTHING,
	PFK__HAPPENED_START,     /* of a worker; a is its pid */
	PFK__HAPPENED_ACCEPT,    /* fd is new; a and b are the peer's address */
	PFK__HAPPENED_TAKE,      /* the same from another process */
	PFK__HAPPENED_RECEIVE,   /* a bytes */
	PFK__HAPPENED_SEND,      /* a bytes */
	PFK__HAPPENED_CLOSE,     /* detail is the cause, enum pfk__count */
	PFK__HAPPENED_DATAGRAMS, /* a messages came in one batch */
	PFK__HAPPENED_ANSWERS,   /* a datagrams left */
	PFK__HAPPENED_DRAIN,     /* detail is how, enum pfk_drain */
	PFK__HAPPENED_ADOPT,     /* a is the slot */
	PFK__HAPPENED_RELEASE,   /* a is the slot */
	PFK__HAPPENED_REBUILT    /* a connections, after a death */
};

struct pfk__event {
	uint64_t ns; /* the turn's time */
	uint8_t kind;
	uint8_t detail;
	uint16_t port;
	int32_t fd;
	uint64_t a, b;
};

struct pfk__recorder {
	uint64_t n; /* events ever; the next one's place is n % PFK__EVENTS */
	struct pfk__event ring[PFK__EVENTS];
	uint64_t n_lines; /* the same of lines of its log */
	struct {
		uint64_t ns;
		char text[PFK__LINE_BYTES];
	} lines[PFK__LINES];
};

static inline void
pfk__record_event(struct pfk__recorder *r, uint64_t ns, enum pfk__happened kind,
    int fd, uint64_t a)
{
	struct pfk__event *e = &r->ring[r->n % PFK__EVENTS];

	*e = (struct pfk__event){.ns = ns,
	    .kind = (uint8_t)kind,
	    .fd = fd,
	    .a = a};
	pfk__in_order();
	r->n++;
}

/* The same for an event with a peer. */
void pfk__record_peer(struct pfk__recorder *r, uint64_t ns,
    enum pfk__happened kind, int fd, const struct pfk_addr *peer);

/* The same for one with a detail. */
void pfk__record_detail(struct pfk__recorder *r, uint64_t ns,
    enum pfk__happened kind, int fd, unsigned detail);

/* A line of the log. */
void pfk__record_line(struct pfk__recorder *r, uint64_t ns, const char *text);

/*
 * The events of one of the processes that have used the recorder: from *first to
 * before *end, at most n, the last ones; and *until_ns is when its successor has
 * started, or UINT64_MAX.
 */
void pfk__record_find(const struct pfk__recorder *r, pid_t pid, unsigned n,
    uint64_t *first, uint64_t *end, uint64_t *until_ns);

/*
 * Describe the event number i, of those that are kept: "received 5 bytes of
 * descriptor 9".  False: there is none.  ns gets its time.
 */
bool pfk__record_describe(const struct pfk__recorder *r, uint64_t i, char *dst,
    size_t size, uint64_t *ns);

#endif
