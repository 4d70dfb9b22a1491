/*
 * connections.h: a worker's connections, listed for its master.
 *
 * The master makes a file in memory of PFK__CONNECTIONS_BYTES, sealed so that it
 * keeps that size, and the worker writes one row a connection from its start on.
 * The times are of CLOCK_MONOTONIC, which all processes share.
 */
#ifndef PFK_EVENT_CONNECTIONS_H
#define PFK_EVENT_CONNECTIONS_H

#include <prefork.h>

#define PFK__CONNECTIONS_MAX 65536
#define PFK__CONNECTIONS_BYTES \
	(PFK__CONNECTIONS_MAX * sizeof(struct pfk__connection))

struct pfk__connection {
	struct pfk_addr peer;
	uint64_t since_ns;       /* its accept(2), in any process; 0: unknown */
	uint64_t idle_ns;        /* without bytes in either direction */
	uint64_t received, sent; /* bytes; sent: those that the peer has */
};

#endif
