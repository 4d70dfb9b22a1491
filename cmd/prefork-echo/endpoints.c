/*
 * endpoints.c: from --bind, --port, -4 and -6 to the sockets to open.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "config.h"

#define ADDRESSES_MAX 64
#define RESOLVE_NS (5 * PFK_SECOND_NS)

static bool
allowed(const struct config *c, const struct pfk_addr *a)
{
	if (a->sa.sa_family == AF_INET)
		return c->ipv4 || !c->ipv6;
	return c->ipv6 || !c->ipv4;
}

static int
add(struct config *c, const struct bind *b, enum pfk_kind kind,
    const struct pfk_addr *addr, bool optional, char *err)
{
	struct endpoint *e;
	char name[PFK_ADDR_SIZE];

	for (size_t i = 0; i < c->n_endpoints; i++) {
		if (c->endpoints[i].listen.kind == kind &&
		    pfk_addr_equal(&c->endpoints[i].listen.addr, addr)) {
			snprintf(err, PFK_ERROR_SIZE,
			    "bind '%.260s': %s %s is there twice; leave one out",
			    b->text, kind == PFK_TCP ? "tcp" : "udp",
			    pfk_addr_format(name, addr));
			return -1;
		}
	}
	e = reallocarray(c->endpoints, c->n_endpoints + 1, sizeof(*e));
	if (e == NULL) {
		strlcpy(err, "out of memory", PFK_ERROR_SIZE);
		return -1;
	}
	c->endpoints = e;
	e += c->n_endpoints++;
	memset(e, 0, sizeof(*e)); /* findings.c sends its bytes */
	e->listen.kind = kind;
	e->listen.addr = *addr;
	e->listen.optional = optional;
	e->listen.options = &c->sockopts;
	e->once = kind == PFK_TCP && (b->once || c->once);
	return 0;
}

/* A name may have the same address twice. */
static bool
repeats(const struct pfk_addr *list, int i)
{
	for (int k = 0; k < i; k++) {
		if (pfk_addr_equal(&list[k], &list[i]))
			return true;
	}
	return false;
}

static bool
is_mapped(const struct pfk_addr *a)
{
	return a->sa.sa_family == AF_INET6 &&
	    IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr);
}

/*
 * All addresses of a host; localhost is never looked up, and * is every address
 * of both families, by a socket of its own for each, since IPv6 sockets here
 * never take IPv4.
 */
static int
addresses(const struct config *c, const struct bind *b, uint16_t port,
    struct pfk_addr *list, char *err, int *status)
{
	int family = c->ipv4 ? AF_INET : c->ipv6 ? AF_INET6 : AF_UNSPEC, n;
	const char *errstr;

	if (strcmp(b->host, "localhost") == 0) {
		pfk_addr_parse(&list[0], "127.0.0.1", port);
		pfk_addr_parse(&list[1], "::1", port);
		return 2;
	}
	if (strcmp(b->host, "*") == 0) {
		pfk_addr_parse(&list[0], "0.0.0.0", port);
		pfk_addr_parse(&list[1], "::", port);
		return 2;
	}
	if (pfk_addr_parse(&list[0], b->host, port) == 0)
		return 1;
	n = pfk_resolve(b->host, port, family, RESOLVE_NS, list, ADDRESSES_MAX,
	    &errstr);
	if (n != -1)
		return n;
	/* EINVAL is a host that no look-up can find: bad usage. */
	if (errno == EAGAIN || errno == ETIMEDOUT)
		*status = EX_TEMPFAIL; /* it may be answered later */
	else if (errno != EINVAL)
		*status = EX_NOHOST;
	snprintf(err, PFK_ERROR_SIZE, "bind '%.260s': %s%s", b->text,
	    errno != EINVAL ? "cannot resolve it: " : "", errstr);
	return -1;
}

static int
expand(struct config *c, const struct bind *b, char *err, int *status)
{
	uint16_t port = (uint16_t)(b->port >= 0 ? b->port : c->port);
	bool both = strcmp(b->host, "localhost") == 0 ||
	    strcmp(b->host, "*") == 0;
	struct pfk_addr list[ADDRESSES_MAX];
	int n = addresses(c, b, port, list, err, status), used = 0;

	if (n == -1)
		return -1;
	for (int i = 0; i < n; i++) {
		/* The machine may have no IPv6, but 127.0.0.1 it has. */
		bool optional = both && list[i].sa.sa_family == AF_INET6 &&
		    (c->ipv4 || !c->ipv6);

		if (!allowed(c, &list[i]) || repeats(list, i))
			continue;
		if (is_mapped(&list[i])) {
			snprintf(err, PFK_ERROR_SIZE,
			    "bind '%.260s': an IPv4-mapped address; write it "
			    "as IPv4",
			    b->text);
			return -1;
		}
		if (pfk_addr_lacks_zone(&list[i])) {
			*status = EX_CONFIG;
			snprintf(err, PFK_ERROR_SIZE,
			    "bind '%.260s': a link-local address; name its "
			    "interface, as in fe80::1%%eth0",
			    b->text);
			return -1;
		}
		used++;
		if ((b->tcp &&
			add(c, b, PFK_TCP, &list[i], optional, err) == -1) ||
		    (b->udp &&
			add(c, b, PFK_UDP, &list[i], optional, err) == -1))
			return -1;
	}
	if (used > 0)
		return 0;
	/* Without -4 and -6 every address is allowed. */
	snprintf(err, PFK_ERROR_SIZE,
	    "bind '%.260s': no IPv%d address; leave out -%d", b->text,
	    c->ipv4 ? 4 : 6, c->ipv4 ? 4 : 6);
	return -1;
}

int
config_endpoints(struct config *c, char *err, int *status)
{
	struct bind localhost = {.text = (char *)(uintptr_t) "localhost",
	    .host = "localhost",
	    .port = -1,
	    .tcp = true,
	    .udp = true};

	if (c->n_binds == 0)
		return expand(c, &localhost, err, status);
	for (size_t i = 0; i < c->n_binds; i++) {
		if (expand(c, &c->binds[i], err, status) == -1)
			return -1;
	}
	return 0;
}
