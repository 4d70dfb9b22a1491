/*
 * doing.c: what is said of the death of a worker.
 *
 * Layer: process.
 */
#include <stdio.h>
#include <string.h>

#include "event/ledger.h"
#include "process/keeper.h"

void
pfk__describe_doing(const struct pfk__ledger *g, char *buf, size_t size)
{
	const struct pfk__ledger_head *h = g->head;
	const struct pfk__record *r = pfk__record(g, h->serving);
	char name[PFK_ADDR_SIZE];
	unsigned len = h->hand.fd == h->serving ? h->hand.len : 0;

	if (r == NULL)
		strlcpy(buf,
		    "in no descriptor's callback: waiting, or in a timer's",
		    size);
	else if (r->entry == PFK__ENTRY_STREAM)
		snprintf(buf, size,
		    "serving the connection of %s, descriptor %d, with %u "
		    "byte%s of it in hand",
		    pfk_addr_format(name, &r->stream.peer), h->serving, len,
		    len == 1 ? "" : "s");
	else if (r->entry == PFK__ENTRY_LISTENER)
		snprintf(buf, size,
		    "accepting connections of %s, descriptor %d",
		    pfk_addr_format(name, &r->listener.bound), h->serving);
	else if (r->entry == PFK__ENTRY_DATAGRAM)
		snprintf(buf, size, "serving datagrams of %s, descriptor %d",
		    pfk_addr_format(name, &r->listener.bound), h->serving);
	else
		snprintf(buf, size, "serving descriptor %d", h->serving);
}

bool
pfk__claim_death(struct pfk__page *page, uint32_t n)
{
	uint32_t last = __atomic_load_n(&page->logged, __ATOMIC_RELAXED);

	while (last < n) {
		if (__atomic_compare_exchange_n(&page->logged, &last, n, false,
			__ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return true;
	}
	return false;
}
