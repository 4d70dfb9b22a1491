/*
 * connector.h: the part of connecting that TCP and UDP share: the host's
 * addresses, the time, the causes, and the failure.
 *
 * Invariants:
 *  1. the struct is the first member of its kind's, and allocated as that;
 *  2. a connector is freed before a callback of the program;
 *  3. its handle is a number that no other one ever gets, and no address, so
 *     that an old handle cancels nothing.
 */
#ifndef PFK_TRANSPORT_CONNECTOR_H
#define PFK_TRANSPORT_CONNECTOR_H

#include <sys/tree.h>

#include "event/loop.h"
#include "net/resolve.h"

#define PFK__CONNECTOR_ADDRESSES 32

struct pfk__connector;

struct pfk__connector_kind {
	size_t size;
	/* The addresses are known: there is one at least. */
	void (*begin)(struct pfk__connector *c);
	/* The time is up: add the causes of the attempts under way; or NULL. */
	void (*late)(struct pfk__connector *c);
	/* Release the objects of the kind; or NULL. */
	void (*release)(struct pfk__connector *c);
};

struct pfk__connector {
	RB_ENTRY(pfk__connector) node; /* of all that are under way */
	uintptr_t number;
	const struct pfk__connector_kind *kind;
	struct pfk_loop *loop;
	void *arg;
	void (*failed)(void *arg, int error, const char *causes);
	struct pfk_sockopts sockopts;
	struct pfk_addr source; /* len 0: any */
	struct pfk__lookup lookup;
	struct pfk_io lookup_io;
	struct pfk__soon numeric;
	struct pfk_timer *timeout;
	struct pfk_addr addrs[PFK__CONNECTOR_ADDRESSES];
	int n;
	int error;         /* the first address' */
	const char *step;  /* of the attempt that fails: explain.h */
	const char *fault; /* why there is no address at all */
	char causes[PFK_CAUSES_SIZE];
};

/* Find the addresses, from the loop, for the program's call.  NULL with errno. */
struct pfk__connector *pfk__connector_new(const char *call, struct pfk_loop *l,
    const struct pfk__connector_kind *kind, const struct pfk_connect_options *o,
    void *arg, void (*failed)(void *arg, int error, const char *causes));

/* As pfk_connect, for the program's call. */
struct pfk_connector *pfk__connect(const char *call, struct pfk_loop *l,
    const struct pfk_connect_options *options, const struct pfk_protocol *proto,
    void *arg, void (*failed)(void *arg, int error, const char *causes));

static inline struct pfk_connector *
pfk__connector_handle(const struct pfk__connector *c)
{
	return (struct pfk_connector *)c->number;
}

/* This address cannot be had, for that errno, at the step in c->step. */
void pfk__connector_refused(struct pfk__connector *c, const struct pfk_addr *a,
    int error);

/* Free it, and tell the user. */
void pfk__connector_fail(struct pfk__connector *c, int error);

/* Free it. */
void pfk__connector_free(struct pfk__connector *c);

#endif
