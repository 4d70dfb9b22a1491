/*
 * exporter.h: prefork-exporter(8) as a process of the service.
 *
 * Invariants:
 *  1. at most one runs; it ends with its channel, so that none outlives its
 *     master or serves for another configuration;
 *  2. it may read and nothing else, with any user's rights: each packet of its
 *     channel brings one client of the control socket;
 *  3. no failure of it ends or delays the service.
 */
#ifndef PFK_PROCESS_EXPORTER_H
#define PFK_PROCESS_EXPORTER_H

#include <prefork.h>

struct pfk__master;

struct pfk__exporter {
	pid_t pid;     /* 0: none runs */
	int fd;        /* the master's end of the channel, or -1 */
	char *address; /* that it was started with */
	bool unwanted; /* the address is another one now, or none */
	struct pfk_io *io;
	struct pfk_timer *again; /* start one then, and not before */
	uint64_t started_ns, delay_ns;
};

void pfk__exporter_init(struct pfk__master *m);

/* Start it, end it or replace it, as the configuration wants. */
void pfk__exporter_maintain(struct pfk__master *m);

/* Whether pid was its. */
bool pfk__exporter_reaped(struct pfk__master *m, pid_t pid, int status);

/* The master ends. */
void pfk__exporter_end(struct pfk__master *m);

#endif
