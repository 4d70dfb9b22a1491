/*
 * endpoints.c: from --bind, --port, -4 and -6 to the sockets to open.
 *
 * Layer: main.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "main/settings.h"
#include "net/addr.h"

#define ADDRESSES_MAX 64
#define RESOLVE_NS (5 * PFK_SECOND_NS)

static bool
allowed(const struct pfk__settings *s, const struct pfk_addr *a)
{
	if (a->sa.sa_family == AF_INET)
		return s->ipv4 || !s->ipv6;
	return s->ipv6 || !s->ipv4;
}

static int
add(struct pfk__settings *s, const struct pfk__bind *b, enum pfk_kind kind,
    const struct pfk_addr *addr, bool optional, char *err)
{
	struct pfk_endpoint *e;
	char name[PFK_ADDR_SIZE];

	for (size_t i = 0; i < s->setup.n_endpoints; i++) {
		if (s->setup.endpoints[i].listen.kind == kind &&
		    pfk_addr_equal(&s->setup.endpoints[i].listen.addr, addr)) {
			snprintf(err, PFK_ERROR_SIZE,
			    "bind '%.260s': %s %s is there twice; leave one out",
			    b->text, kind == PFK_TCP ? "tcp" : "udp",
			    pfk_addr_format(name, addr));
			return -1;
		}
	}
	e = reallocarray(s->setup.endpoints, s->setup.n_endpoints + 1,
	    sizeof(*e));
	if (e == NULL) {
		strlcpy(err, "out of memory", PFK_ERROR_SIZE);
		return -1;
	}
	s->setup.endpoints = e;
	e += s->setup.n_endpoints++;
	memset(e, 0, sizeof(*e)); /* findings.c sends its bytes */
	e->listen.kind = kind;
	e->listen.addr = *addr;
	e->listen.optional = optional;
	e->service = b->service;
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
 * Of RFC 4291's deprecated form, which no machine has: ::80 and ::1:80 are meant to
 * have a port.
 */
static bool
is_compatible(const struct pfk_addr *a)
{
	return a->sa.sa_family == AF_INET6 &&
	    IN6_IS_ADDR_V4COMPAT(&a->in6.sin6_addr);
}

/* Of many machines: a socket can be bound to it, but no client connects there. */
static bool
is_of_many(const struct pfk_addr *a)
{
	if (a->sa.sa_family == AF_INET6)
		return IN6_IS_ADDR_MULTICAST(&a->in6.sin6_addr);
	return IN_MULTICAST(ntohl(a->in4.sin_addr.s_addr)) ||
	    a->in4.sin_addr.s_addr == htonl(INADDR_BROADCAST);
}

/*
 * All addresses of a host; localhost is never looked up, and * is every address
 * of both families, by a socket of its own for each, since IPv6 sockets here
 * never take IPv4.
 */
static int
addresses(const struct pfk__settings *s, const struct pfk__bind *b,
    uint16_t port, struct pfk_addr *list, char *err, int *status)
{
	int family = s->ipv4 ? AF_INET : s->ipv6 ? AF_INET6 : AF_UNSPEC, n;
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
	if (errno == EAGAIN || errno == ETIMEDOUT || errno == ENODEV)
		*status = EX_TEMPFAIL; /* it may be answered, or there, later */
	else if (errno != EINVAL)
		*status = EX_NOHOST;
	snprintf(err, PFK_ERROR_SIZE, "bind '%.260s': %s%s", b->text,
	    errno != EINVAL && errno != ENODEV ? "cannot resolve it: " : "",
	    errstr);
	return -1;
}

/* Whether a socket can be bound to it; if not, why. */
static int
check_address(const struct pfk__bind *b, const struct pfk_addr *a, char *err)
{
	if (is_mapped(a)) {
		snprintf(err, PFK_ERROR_SIZE,
		    "bind '%.260s': an IPv4-mapped address; write it as IPv4",
		    b->text);
		return -1;
	}
	if (is_compatible(a)) {
		snprintf(err, PFK_ERROR_SIZE,
		    "bind '%.260s': no machine has such an address; a port "
		    "follows brackets, as in [::]:80 and [::1]:80",
		    b->text);
		return -1;
	}
	if (is_of_many(a)) {
		snprintf(err, PFK_ERROR_SIZE,
		    "bind '%.260s': a multicast or broadcast address, to which "
		    "no client connects; name one of this machine",
		    b->text);
		return -1;
	}
	if (!pfk__addr_lacks_zone(a))
		return 0;
	snprintf(err, PFK_ERROR_SIZE,
	    "bind '%.260s': a link-local address; name its interface, as in "
	    "fe80::1%%eth0",
	    b->text);
	return -1;
}

/* The protocols of b that its service has; it has those that b names alone. */
static int
protocols(const struct pfk__settings *s, const struct pfk__bind *b, bool *tcp,
    bool *udp, char *err)
{
	const struct pfk_service *v = &s->program->services[b->service];

	*tcp = b->tcp && (v->tcp != NULL || v->stream != NULL);
	*udp = b->udp && v->udp != NULL;
	if (*tcp || *udp)
		return 0;
	snprintf(err, PFK_ERROR_SIZE,
	    "bind '%.260s': this service has no %s; leave out '%s:'", b->text,
	    b->tcp ? "TCP" : "UDP", b->tcp ? "tcp" : "udp");
	return -1;
}

static int
expand(struct pfk__settings *s, const struct pfk__bind *b, char *err,
    int *status)
{
	uint16_t port = (uint16_t)(b->port >= 0 ? b->port : s->port);
	bool both = strcmp(b->host, "localhost") == 0 ||
	    strcmp(b->host, "*") == 0;
	struct pfk_addr list[ADDRESSES_MAX];
	int n, used = 0;
	bool tcp, udp;

	if (protocols(s, b, &tcp, &udp, err) == -1)
		return -1;
	n = addresses(s, b, port, list, err, status);
	if (n == -1)
		return -1;
	for (int i = 0; i < n; i++) {
		/* The machine may have no IPv6, but 127.0.0.1 it has. */
		bool optional = both && list[i].sa.sa_family == AF_INET6 &&
		    (s->ipv4 || !s->ipv6);

		if (!allowed(s, &list[i]) || repeats(list, i))
			continue;
		used++;
		if (check_address(b, &list[i], err) == -1 ||
		    (tcp &&
			add(s, b, PFK_TCP, &list[i], optional, err) == -1) ||
		    (udp && add(s, b, PFK_UDP, &list[i], optional, err) == -1))
			return -1;
	}
	if (used > 0)
		return 0;
	/* Without -4 and -6 every address is allowed. */
	snprintf(err, PFK_ERROR_SIZE,
	    "bind '%.260s': no IPv%d address; leave out -%d", b->text,
	    s->ipv4 ? 4 : 6, s->ipv4 ? 4 : 6);
	return -1;
}

int
pfk__settings_endpoints(struct pfk__settings *s, char *err, int *status)
{
	struct pfk__bind localhost = {.text = (char *)(uintptr_t) "localhost",
	    .host = "localhost",
	    .port = -1,
	    .tcp = true,
	    .udp = true};

	if (s->n_binds == 0)
		return expand(s, &localhost, err, status);
	for (size_t i = 0; i < s->n_binds; i++) {
		if (expand(s, &s->binds[i], err, status) == -1)
			return -1;
	}
	return 0;
}
