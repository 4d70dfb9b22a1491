/*
 * An endpoint that answers, and clients that know the answers due to them: each
 * datagram's bytes tell its client and number.
 */
#ifndef DATAGRAMS_H
#define DATAGRAMS_H

#include <prefork.h>

#define DG_CLIENTS 3
#define DG_EXPECTED 300

struct dg_client {
	int fd;
	struct pfk_addr addr;
	int lens[DG_EXPECTED]; /* of the promised answers, in order */
	int promised;
	int checked; /* of these */
};

extern struct datagrams {
	const char *backend;
	const char *host;
	struct pfk_loop *loop;
	struct pfk_datagram *endpoint;
	struct pfk_addr addr; /* the endpoint's */
	struct dg_client clients[DG_CLIENTS];
	int received, errors, last_error, lost;
	int limit; /* close the endpoint at that one */
	void (*on_packet)(const struct pfk_packet *p); /* dg_echo */
	int fds;
} dg;

extern const struct pfk_datagram_protocol dg_protocol;

void dg_echo(const struct pfk_packet *p);

/* Whether this machine has dg.host. */
bool dg_has_host(void);

/* A bound socket with room for a batch; a wildcard's has IP_PKTINFO. */
int dg_open_bound(const char *where, struct pfk_addr *bound);

/* The loop, an endpoint there, and clients at dg.host; and all of it away. */
void dg_begin_at(const char *where);
void dg_end(const char *name);

/* n datagrams of len and one of `last`, where that is not -1, by one call. */
void dg_put_train(struct dg_client *c, const struct pfk_addr *to, int len,
    int n, int last);
/* One, to the endpoint. */
void dg_put(struct dg_client *c, int len);

/* The byte at an offset of a client's datagram. */
char dg_byte_of(const struct dg_client *c, int number, int at);

/* How many of the datagrams that a client got, or lacks, are wrong. */
int dg_count_wrong(struct dg_client *c);

/* The number of the next one that is there, by its first byte, or -1. */
int dg_got_number(struct dg_client *c);

/* Run until so many are delivered; each client got its promised answers. */
void dg_check(int deliveries, const char *name);

#endif
