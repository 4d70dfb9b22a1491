/*
 * door.h: connections, between door.c, which admits them, and http.c, which
 * answers them.
 */
#ifndef DOOR_H
#define DOOR_H

#include <stdlib.h>

#include "exporter.h"

#define EXPORTER_PORT 9488

/* So many at most, those that are being closed among them. */
#define HTTP_CONNS_MAX 256

struct conn {
	TAILQ_ENTRY(conn) link;
	struct pfk_addr from;
	int fd; /* libmicrohttpd's */
	struct pfk_timer *deadline;
	bool asked; /* its request is complete */
	bool cut;
};

/* Its request is complete, and is answered from now on. */
void door_asked(struct conn *c);

/* It has ended; c is freed. */
void door_gone(struct conn *c);

/* Answer the connection, whose descriptor is taken over.  -1: it is closed. */
int http_add(struct conn *c);

/* Something has happened to connections. */
void http_wake(void);

#endif
