/*
 * custody.c: the listeners that workers have lent to the master.
 *
 * Layer: process.
 */
#include "process/custody.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/received.h"
#include "net/listener.h"

static int
compare_addr(const struct pfk_addr *a, const struct pfk_addr *b)
{
	uint16_t ap = pfk_addr_port(a), bp = pfk_addr_port(b);
	uint32_t as = a->in6.sin6_scope_id, bs = b->in6.sin6_scope_id;
	int n;

	if (a->sa.sa_family != b->sa.sa_family)
		return a->sa.sa_family < b->sa.sa_family ? -1 : 1;
	if (ap != bp)
		return ap < bp ? -1 : 1;
	if (a->sa.sa_family == AF_INET)
		return memcmp(&a->in4.sin_addr, &b->in4.sin_addr,
		    sizeof(a->in4.sin_addr));
	n = memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr,
	    sizeof(a->in6.sin6_addr));
	return n != 0 || as == bs ? n : as < bs ? -1 : 1;
}

static int
compare_group(const struct pfk__lent *a, const struct pfk__lent *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return compare_addr(&a->asked, &b->asked);
}

static int
compare(const struct pfk__lent *a, const struct pfk__lent *b)
{
	int n = compare_group(a, b);

	return n != 0 || a->slot == b->slot ? n : a->slot < b->slot ? -1 : 1;
}

/* Not RB_GENERATE_STATIC: its __unused means nothing to glibc. */
/* The analyzer thinks that a freed one is in the tree. NOLINTNEXTLINE */
RB_GENERATE_INTERNAL(pfk__lent_tree, pfk__lent, node, compare,
    static __attribute__((unused)))

void
pfk__custody_init(struct pfk__custody *c, struct pfk_loop *loop,
    void (*queued)(void *arg, int slot), void *arg)
{
	*c = (struct pfk__custody){.loop = loop, .queued = queued, .arg = arg};
	RB_INIT(&c->all);
	for (int i = 0; i < PFK_WORKERS_MAX; i++)
		TAILQ_INIT(&c->slots[i].list);
}

/* looking */

struct pfk__lent *
pfk__custody_find(const struct pfk__custody *c, int slot, enum pfk_kind kind,
    const struct pfk_addr *asked)
{
	struct pfk__lent key = {.slot = slot, .kind = kind, .asked = *asked};
	/* The macros know no const. */
	struct pfk__lent_tree *all = (void *)(uintptr_t)&c->all;
	struct pfk__lent *l;

	if (slot != -1)
		return RB_FIND(pfk__lent_tree, all, &key);
	l = RB_NFIND(pfk__lent_tree, all, &key);
	return l != NULL && pfk__custody_same_group(l, &key) ? l : NULL;
}

size_t
pfk__custody_count(const struct pfk__custody *c, int slot)
{
	return c->slots[slot].len;
}

struct pfk__lent *
pfk__custody_first(const struct pfk__custody *c, int slot)
{
	return TAILQ_FIRST(&c->slots[slot].list);
}

struct pfk__lent *
pfk__custody_next(const struct pfk__lent *l)
{
	return TAILQ_NEXT(l, link);
}

struct pfk__lent *
pfk__custody_first_of_all(const struct pfk__custody *c)
{
	struct pfk__lent_tree *all = (void *)(uintptr_t)&c->all;

	return RB_MIN(pfk__lent_tree, all);
}

struct pfk__lent *
pfk__custody_next_of_all(const struct pfk__lent *l)
{
	struct pfk__lent *from = (void *)(uintptr_t)l;

	return RB_NEXT(pfk__lent_tree, &l->custody->all, from);
}

bool
pfk__custody_same_group(const struct pfk__lent *a, const struct pfk__lent *b)
{
	return compare_group(a, b) == 0;
}

uint16_t
pfk__custody_port(const struct pfk__custody *c)
{
	return c->any_port > 0 ? c->port : 0;
}

/* changing */

static void
on_queued(void *arg, unsigned ready)
{
	const struct pfk__lent *l = arg;

	(void)ready;
	assert(l->io != NULL && l->fd >= 0);
	pfk_io_want(l->io, 0);
	l->custody->queued(l->custody->arg, l->slot);
}

void
pfk__custody_drop(struct pfk__lent *l)
{
	struct pfk__custody *c = l->custody;

	assert(c->len > 0 && c->slots[l->slot].len > 0);
	RB_REMOVE(pfk__lent_tree, &c->all, l);
	TAILQ_REMOVE(&c->slots[l->slot].list, l, link);
	c->slots[l->slot].len--;
	c->len--;
	c->changes++;
	assert(pfk_addr_port(&l->asked) != 0 || c->any_port > 0);
	if (pfk_addr_port(&l->asked) == 0)
		c->any_port--;
	pfk_io_cancel(&l->io);
	/* Its lender can have made a connection of it. */
	pfk__close_received(l->fd);
	free(l);
}

/* Workers of a master that has died come in any order. */
static void
list(struct pfk__custody *c, struct pfk__lent *l)
{
	struct pfk__lent *before = TAILQ_LAST(&c->slots[l->slot].list,
	    pfk__lent_list);

	while (before != NULL && before->opened_ns > l->opened_ns)
		before = TAILQ_PREV(before, pfk__lent_list, link);
	if (before == NULL)
		TAILQ_INSERT_HEAD(&c->slots[l->slot].list, l, link);
	else
		TAILQ_INSERT_AFTER(&c->slots[l->slot].list, before, l, link);
}

int
pfk__custody_add(struct pfk__custody *c, const struct pfk__lent *l)
{
	struct pfk__lent *copy = malloc(sizeof(*copy)), *old;

	assert(l->slot >= 0 && l->slot < PFK_WORKERS_MAX && l->fd >= 0);
	if (copy == NULL)
		return -1;
	*copy = *l;
	copy->custody = c;
	copy->io = NULL;
	if (c->loop != NULL) {
		copy->io = pfk_io_add(c->loop, l->fd, PFK_READ, on_queued,
		    copy);
		if (copy->io == NULL) {
			free(copy);
			return -1;
		}
	}
	old = pfk__custody_find(c, l->slot, l->kind, &l->asked);
	if (old != NULL)
		pfk__custody_drop(old);
	RB_INSERT(pfk__lent_tree, &c->all, copy);
	list(c, copy);
	c->slots[l->slot].len++;
	c->len++;
	c->changes++;
	if (pfk_addr_port(&l->asked) == 0) {
		if (c->any_port++ == 0)
			c->port = pfk_addr_port(&l->bound);
	}
	return 0;
}

void
pfk__custody_keep(struct pfk__custody *c, int slot, enum pfk_kind kind,
    const struct pfk_addr *asked, uint64_t generation)
{
	struct pfk__lent *l = pfk__custody_find(c, slot, kind, asked);

	if (l != NULL)
		l->user = generation;
}

void
pfk__custody_rearm(struct pfk__custody *c, int slot)
{
	struct pfk__lent *l;

	TAILQ_FOREACH(l, &c->slots[slot].list, link) {
		if (l->io != NULL)
			pfk_io_want(l->io, PFK_READ);
	}
}

bool
pfk__custody_queued(const struct pfk__lent *l)
{
	struct pollfd p = {.fd = l->fd, .events = POLLIN};

	/* One that is shut down polls as readable for ever. */
	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP) == 0;
}

bool
pfk__custody_broken(const struct pfk__lent *l)
{
	return pfk__listener_fault(l->fd, l->kind) != NULL;
}

const struct pfk__lent *
pfk__custody_first_broken(const struct pfk__custody *c, int slot)
{
	const struct pfk__lent *l;

	TAILQ_FOREACH(l, &c->slots[slot].list, link) {
		if (pfk__custody_broken(l))
			return l;
	}
	return NULL;
}

bool
pfk__custody_waiting(const struct pfk__custody *c, int slot)
{
	const struct pfk__lent *l;

	TAILQ_FOREACH(l, &c->slots[slot].list, link) {
		if (pfk__custody_queued(l))
			return true;
	}
	return false;
}

void
pfk__custody_prune(struct pfk__custody *c, int slot, uint64_t user)
{
	struct pfk__lent *l, *next;

	TAILQ_FOREACH_SAFE(l, &c->slots[slot].list, link, next) {
		if (user == 0 || l->user != user)
			pfk__custody_drop(l);
	}
}

void
pfk__custody_undo(struct pfk__custody *c, int slot, uint64_t lender)
{
	struct pfk__lent *l, *next;

	TAILQ_FOREACH_SAFE(l, &c->slots[slot].list, link, next) {
		if (l->lender == lender)
			pfk__custody_drop(l);
	}
}

void
pfk__custody_clear(struct pfk__custody *c)
{
	struct pfk__lent *l;

	while ((l = pfk__custody_first_of_all(c)) != NULL)
		pfk__custody_drop(l);
}

void
pfk__custody_check(const struct pfk__custody *c)
{
	const struct pfk__lent *l, *last = NULL;
	size_t all = 0, any_port = 0, listed = 0;

	/* 1: in a tree that is strictly ascending there are no doubles. */
	for (l = pfk__custody_first_of_all(c); l != NULL;
	     l = pfk__custody_next_of_all(l)) {
		assert(last == NULL || compare(last, l) < 0);
		assert(l->custody == c && l->fd >= 0);
		/* 2 */
		assert(l->lender <= l->user);
		any_port += pfk_addr_port(&l->asked) == 0;
		all++;
		last = l;
	}
	assert(all == c->len && any_port == c->any_port);
	/* 3 */
	for (int i = 0; i < PFK_WORKERS_MAX; i++) {
		size_t n = 0;

		last = NULL;
		TAILQ_FOREACH(l, &c->slots[i].list, link) {
			assert(l->slot == i);
			assert(last == NULL || last->opened_ns <= l->opened_ns);
			last = l;
			n++;
		}
		assert(n == c->slots[i].len);
		listed += n;
	}
	assert(listed == c->len);
}
