/*
 * resolve.h: a look-up under way, for callers with a loop of their own.
 */
#ifndef PFK_NET_RESOLVE_H
#define PFK_NET_RESOLVE_H

#include <prefork.h>

/* -1 with EINVAL: the program's call has been given a family of no host. */
int pfk__family_check(const char *call, int family);

struct pfk__lookup {
	int fd; /* readable when there is something to take */
	pid_t pid;
	int n; /* addresses so far */
};

/*
 * Without a look-up: 1 with the address of a numeric host; 0 for a name; -1
 * with *errstr and EINVAL for a host that can be neither, or ENOENT for an
 * address of the other family.
 */
int pfk__resolve_numeric(const char *host, uint16_t port, int family,
    struct pfk_addr *addr, const char **errstr);

/* Nothing blocks; -1 with errno; pfk__why puts it into words. */
int pfk__lookup_start(struct pfk__lookup *k, const char *host, uint16_t port,
    int family);

/*
 * The next address, in getaddrinfo(3)'s order: 1; 0 at the end; -1 with
 * *errstr and errno where there is none at all.  Blocks while fd is not readable.
 */
int pfk__lookup_next(struct pfk__lookup *k, struct pfk_addr *addr,
    const char **errstr);

/* In any state; reaps the child. */
void pfk__lookup_end(struct pfk__lookup *k);

#endif
