/*
 * probe.h: a prober: single messages to many targets, for as long as it runs, and
 * their counts by HTTP.
 *
 * probe.c sends them, serve.c answers requests.
 */
#ifndef CHECK_PROBE_H
#define CHECK_PROBE_H

#include <prefork.h>
#include <stdio.h>

#include "stats.h"

/* A message has the family of the address that it went to. */
enum probe_family { PROBE_UNKNOWN, PROBE_IPV4, PROBE_IPV6, PROBE_FAMILIES };

/* The upper ends of the buckets are 2^N ns, from here on. */
#define PROBE_FIRST_POWER 15
#define PROBE_BUCKETS 19

struct probe_counts {
	uint64_t sent, lost[LOSSES];
	uint64_t buckets[PROBE_BUCKETS + 1]; /* each alone; the last: longer */
	uint64_t sum_ns;
};

struct target {
	char text[PFK_HOST_SIZE + 16]; /* HOST:PORT, for the label */
	char host[PFK_HOST_SIZE];
	uint16_t port;
	bool udp;
	struct probe_counts counts[PROBE_FAMILIES];
};

struct targets {
	struct target *list;
	size_t n;
};

/* For the option table. */
int probe_parse(void *targets, const char *value, bool first,
    const char **errstr);
bool probe_format(const void *targets, int i, char *buf, size_t size);
void probe_free(struct targets *t);

struct options;

/* Run until a signal; an exit status. */
int probe_run(struct options *o);

/* The text for Prometheus. */
void probe_print(FILE *f, const struct targets *t);

/* serve.c: answer GET /metrics at HOST[:PORT].  -1: after a complaint. */
int serve_open(struct pfk_loop *l, const char *where, struct targets *t);
void serve_close(void);

#endif
