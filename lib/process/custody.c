/*
 * custody.c: the listeners that workers have lent to the master.
 *
 * Layer: process.
 */
#include "process/custody.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

struct pfk__lent *
pfk__custody_find(const struct pfk__custody *c, int slot, enum pfk_kind kind,
    const struct pfk_addr *asked)
{
	for (size_t i = 0; i < c->len; i++) {
		struct pfk__lent *l = c->lent[i];

		if ((slot == -1 || l->slot == slot) && l->kind == kind &&
		    pfk_addr_equal(&l->asked, asked))
			return l;
	}
	return NULL;
}

uint16_t
pfk__custody_port(const struct pfk__custody *c)
{
	for (size_t i = 0; i < c->len; i++) {
		if (pfk_addr_port(&c->lent[i]->asked) == 0)
			return pfk_addr_port(&c->lent[i]->bound);
	}
	return 0;
}

static void
on_queued(void *arg, unsigned ready)
{
	const struct pfk__lent *l = arg;

	(void)ready;
	pfk_io_want(l->io, 0);
	l->custody->queued(l->custody->arg, l->slot);
}

static int
make_room(struct pfk__custody *c)
{
	size_t size = c->size > 0 ? 2 * c->size : 16;
	void *lent;

	if (c->len < c->size)
		return 0;
	lent = reallocarray(c->lent, size, sizeof(struct pfk__lent *));
	if (lent == NULL)
		return -1;
	c->lent = lent;
	c->size = size;
	return 0;
}

void
pfk__custody_drop(struct pfk__custody *c, size_t i)
{
	pfk_io_del(&c->lent[i]->io);
	close(c->lent[i]->fd);
	free(c->lent[i]);
	/* In order: the first slot's listeners name the service. */
	for (c->len--; i < c->len; i++)
		c->lent[i] = c->lent[i + 1];
}

int
pfk__custody_add(struct pfk__custody *c, const struct pfk__lent *l)
{
	struct pfk__lent *copy = malloc(sizeof(*copy)), *old;

	if (copy == NULL)
		return -1;
	*copy = *l;
	copy->custody = c;
	copy->io = NULL;
	if (make_room(c) == -1)
		goto err1;
	if (c->loop != NULL) {
		copy->io = pfk_io_add(c->loop, l->fd, PFK_READ, on_queued,
		    copy);
		if (copy->io == NULL)
			goto err1;
	}
	old = pfk__custody_find(c, l->slot, l->kind, &l->asked);
	for (size_t i = 0; old != NULL && i < c->len; i++) {
		if (c->lent[i] == old) {
			pfk__custody_drop(c, i);
			break;
		}
	}
	c->lent[c->len++] = copy;
	return 0;
err1:
	free(copy);
	return -1;
}

void
pfk__custody_rearm(struct pfk__custody *c, int slot)
{
	for (size_t i = 0; i < c->len; i++) {
		if (c->lent[i]->slot == slot && c->lent[i]->io != NULL)
			pfk_io_want(c->lent[i]->io, PFK_READ);
	}
}

bool
pfk__custody_queued(const struct pfk__lent *l)
{
	struct pollfd p = {.fd = l->fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

bool
pfk__custody_waiting(const struct pfk__custody *c, int slot)
{
	for (size_t i = 0; i < c->len; i++) {
		if (c->lent[i]->slot == slot && pfk__custody_queued(c->lent[i]))
			return true;
	}
	return false;
}

void
pfk__custody_prune(struct pfk__custody *c, int slot, uint64_t user)
{
	for (size_t i = c->len; i-- > 0;) {
		if (c->lent[i]->slot == slot &&
		    (user == 0 || c->lent[i]->user != user))
			pfk__custody_drop(c, i);
	}
}

void
pfk__custody_undo(struct pfk__custody *c, int slot, uint64_t lender)
{
	for (size_t i = c->len; i-- > 0;) {
		if (c->lent[i]->slot == slot && c->lent[i]->lender == lender)
			pfk__custody_drop(c, i);
	}
}

void
pfk__custody_clear(struct pfk__custody *c)
{
	while (c->len > 0)
		pfk__custody_drop(c, c->len - 1);
	free(c->lent);
	c->lent = NULL;
	c->size = 0;
}
