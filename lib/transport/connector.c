/*
 * connector.c: the way to a host's addresses, and the causes of failures on it.
 *
 * Layer: transport.  Names are looked up in a child, so the loop goes on
 * meanwhile.
 */
#include "transport/connector.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/misuse.h"
#include "base/why.h"
#include "net/explain.h"

static int
compare(const struct pfk__connector *a, const struct pfk__connector *b)
{
	return (a->number > b->number) - (a->number < b->number);
}

static RB_HEAD(connectors, pfk__connector) all = RB_INITIALIZER(&all);
/* Not RB_GENERATE_STATIC: its __unused means nothing to glibc. */
RB_GENERATE_INTERNAL(connectors, pfk__connector, node, compare,
    static __attribute__((unused)))

void
pfk__connector_free(struct pfk__connector *c)
{
	assert(c->kind != NULL && c->loop != NULL);
	RB_REMOVE(connectors, &all, c);
	if (c->kind->release != NULL)
		c->kind->release(c);
	pfk__soon_cancel(c->loop, &c->numeric);
	pfk_timer_cancel(&c->timeout);
	if (c->lookup_io.active) {
		pfk__io_stop(&c->lookup_io);
		pfk__lookup_end(&c->lookup);
	}
	free(c);
}

static void
drop_all(struct pfk_loop *l)
{
	struct pfk__connector *c, *next;

	RB_FOREACH_SAFE(c, connectors, &all, next) {
		if (c->loop == l)
			pfk__connector_free(c);
	}
}

void
pfk__connector_fail(struct pfk__connector *c, int error)
{
	void (*failed)(void *, int, const char *) = c->failed;
	char causes[PFK_CAUSES_SIZE];
	void *arg = c->arg;

	strlcpy(causes, c->causes, sizeof(causes));
	pfk__connector_free(c);
	failed(arg, error, causes);
}

static void
add_cause(struct pfk__connector *c, const char *what, const char *why)
{
	size_t n = strlen(c->causes);

	snprintf(c->causes + n, sizeof(c->causes) - n, "%s%s: %s",
	    n > 0 ? "; " : "", what, why);
}

void
pfk__connector_refused(struct pfk__connector *c, const struct pfk_addr *a,
    int error)
{
	bool source = strcmp(c->step, "bind") == 0;
	char name[PFK_ADDR_SIZE], what[PFK_ADDR_SIZE + 8];
	char why[PFK__EXPLAIN_SIZE];

	if (c->error == 0)
		c->error = error;
	a = source ? &c->source : a;
	snprintf(what, sizeof(what), "%s%s", source ? "source " : "",
	    pfk_addr_format(name, a));
	add_cause(c, what, pfk__explain(why, c->step, error, a));
}

static bool
suits_source(const struct pfk__connector *c, const struct pfk_addr *a)
{
	return c->source.len == 0 || c->source.sa.sa_family == a->sa.sa_family;
}

static void
on_lookup(void *arg, unsigned ready)
{
	struct pfk__connector *c = arg;
	const char *errstr = "no address of the source's family";
	struct pfk_addr addr;
	int rc = pfk__lookup_next(&c->lookup, &addr, &errstr);

	(void)ready;
	if (rc == 1) {
		if (c->n < PFK__CONNECTOR_ADDRESSES && suits_source(c, &addr))
			c->addrs[c->n++] = addr;
		return;
	}
	pfk__io_stop(&c->lookup_io);
	pfk__lookup_end(&c->lookup);
	if (c->n > 0) {
		c->kind->begin(c);
		return;
	}
	add_cause(c, "look-up", errstr);
	pfk__connector_fail(c, PFK_ENOHOST);
}

static void
on_numeric(void *arg)
{
	struct pfk__connector *c = arg;

	if (c->n > 0) {
		c->kind->begin(c);
		return;
	}
	add_cause(c, "look-up", c->fault);
	pfk__connector_fail(c, c->error != 0 ? c->error : PFK_ENOHOST);
}

static void
on_timeout(void *arg)
{
	struct pfk__connector *c = arg;

	if (c->kind->late != NULL)
		c->kind->late(c);
	if (c->causes[0] == '\0')
		add_cause(c, "look-up",
		    "no name server answers; see /etc/resolv.conf");
	pfk__connector_fail(c, ETIMEDOUT);
}

static int
start(struct pfk__connector *c, const struct pfk_connect_options *o)
{
	int rc;

	if (o->timeout_ns > 0 &&
	    pfk_timer_set(&c->timeout, c->loop, o->timeout_ns, on_timeout, c) ==
		-1)
		return -1;
	rc = pfk__resolve_numeric(o->host, o->port, o->family, &c->addrs[0],
	    &c->fault);
	if (rc == 1 && !suits_source(c, &c->addrs[0])) {
		c->fault = "no address of the source's family";
		rc = -1;
	}
	c->n = rc == 1;
	if (rc == 0 &&
	    pfk__lookup_start(&c->lookup, o->host, o->port, o->family) == -1) {
		c->error = errno;
		c->fault = pfk__why(c->error);
		rc = -1;
	}
	if (rc != 0) {
		pfk__soon_add(c->loop, &c->numeric, on_numeric, c);
		return 0;
	}
	if (pfk__io_start(c->loop, &c->lookup_io, c->lookup.fd, PFK_READ,
		on_lookup, c) == 0)
		return 0;
	pfk__lookup_end(&c->lookup);
	return -1;
}

struct pfk__connector *
pfk__connector_new(const char *call, struct pfk_loop *l,
    const struct pfk__connector_kind *kind, const struct pfk_connect_options *o,
    void *arg, void (*failed)(void *arg, int error, const char *causes))
{
	static uintptr_t number;
	struct pfk__connector *c;

	if (failed == NULL || o == NULL || o->host == NULL) {
		pfk__misuse(EINVAL,
		    "%s: it needs a host, and a callback for its failure",
		    call);
		return NULL;
	}
	if (pfk__family_check(call, o->family) == -1)
		return NULL;
	c = calloc(1, kind->size);
	if (c == NULL)
		return NULL;
	c->number = ++number;
	RB_INSERT(connectors, &all, c);
	l->drop_connectors = drop_all;
	c->kind = kind;
	c->loop = l;
	c->arg = arg;
	c->failed = failed;
	pfk_sockopts_init(&c->sockopts);
	if (o->sockopts != NULL)
		c->sockopts = *o->sockopts;
	if (o->source != NULL)
		c->source = *o->source;
	if (start(c, o) == -1) {
		int saved_errno = errno;

		pfk__connector_free(c);
		errno = saved_errno;
		return NULL;
	}
	return c;
}

void
pfk_connect_cancel(struct pfk_connector **c)
{
	struct pfk__connector key = {.number = (uintptr_t)*c}, *found;

	found = RB_FIND(connectors, &all, &key);
	if (found != NULL)
		pfk__connector_free(found);
	*c = NULL;
}
