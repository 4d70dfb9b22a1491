/*
 * trim.c: give memory back after many descriptors have left.
 *
 * Layer: event.  Free memory lies in the ledger, where the records stand in
 * order of descriptors, and in malloc's heap, which shrinks by itself from its
 * end only: malloc_trim(3).  The loop's own table, 16 bytes a descriptor,
 * stays.
 */
#include "event/trim.h"

#include <malloc.h>

#include "event/loop.h"

/* Fewer descriptors are not worth the system calls. */
#define MANY 1024
#define DELAY_NS PFK_SECOND_NS

void
pfk__trim_turn(struct pfk_loop *l)
{
	if (l->ios > l->ios_peak)
		l->ios_peak = l->ios;
	if (l->ios_peak < MANY || l->ios > l->ios_peak / 4) {
		l->trim_at_ns = 0;
		return;
	}
	if (l->trim_at_ns == 0)
		l->trim_at_ns = l->now + DELAY_NS;
	if (l->now < l->trim_at_ns)
		return;
	l->trim_at_ns = 0;
	l->ios_peak = l->ios;
	pfk__ledger_trim(l->ledger);
	malloc_trim(0);
}
