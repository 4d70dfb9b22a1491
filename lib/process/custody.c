/*
 * custody.c: the listeners that workers have lent to the master.
 *
 * Layer: process.
 */
#include "process/custody.h"

#include <stdlib.h>
#include <unistd.h>

struct pfk__lent *
pfk__custody_find(const struct pfk__custody *c, int slot, enum pfk_kind kind,
    const struct pfk_addr *asked)
{
	for (size_t i = 0; i < c->len; i++) {
		struct pfk__lent *l = &c->lent[i];

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
		if (pfk_addr_port(&c->lent[i].asked) == 0)
			return pfk_addr_port(&c->lent[i].bound);
	}
	return 0;
}

int
pfk__custody_add(struct pfk__custody *c, const struct pfk__lent *l)
{
	struct pfk__lent *old = pfk__custody_find(c, l->slot, l->kind,
	    &l->asked);

	if (old != NULL) {
		close(old->fd);
		*old = *l;
		return 0;
	}
	if (c->len == c->size) {
		size_t size = c->size > 0 ? 2 * c->size : 16;
		void *lent = reallocarray(c->lent, size, sizeof(*c->lent));

		if (lent == NULL)
			return -1;
		c->lent = lent;
		c->size = size;
	}
	c->lent[c->len++] = *l;
	return 0;
}

static void
drop(struct pfk__custody *c, size_t i)
{
	close(c->lent[i].fd);
	/* In order: the first slot's listeners name the service. */
	for (c->len--; i < c->len; i++)
		c->lent[i] = c->lent[i + 1];
}

void
pfk__custody_prune(struct pfk__custody *c, int slot, uint64_t user)
{
	for (size_t i = c->len; i-- > 0;) {
		if (c->lent[i].slot == slot &&
		    (user == 0 || c->lent[i].user != user))
			drop(c, i);
	}
}

void
pfk__custody_undo(struct pfk__custody *c, int slot, uint64_t lender)
{
	for (size_t i = c->len; i-- > 0;) {
		if (c->lent[i].slot == slot && c->lent[i].lender == lender)
			drop(c, i);
	}
}

void
pfk__custody_clear(struct pfk__custody *c)
{
	while (c->len > 0)
		drop(c, c->len - 1);
	free(c->lent);
	*c = (struct pfk__custody){0};
}
