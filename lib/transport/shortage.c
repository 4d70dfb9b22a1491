/*
 * shortage.c: tell of connections that this machine ended, and not their peers.
 *
 * Layer: transport.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "transport/tcp.h"

static bool
is_shortage(int error)
{
	return error == ENOMEM || error == ENOBUFS || error == EMFILE ||
	    error == ENFILE || error == EIO || error == EPERM;
}

void
pfk__tell_shortage(const struct pfk_transport *tr, int error)
{
	struct pfk_loop *l = tr->io.loop;
	char name[PFK_ADDR_SIZE], more[64] = "";

	if (!is_shortage(error))
		return;
	if (l->shortage_ns != 0 && l->now - l->shortage_ns < PFK_SECOND_NS) {
		l->shortages++;
		return;
	}
	if (l->shortages > 0)
		snprintf(more, sizeof(more), "; %u other%s since the last line",
		    l->shortages, l->shortages == 1 ? "" : "s");
	pfk_log(PFK_WARNING, "closed the connection of %s: %s%s",
	    pfk_addr_format(name, &tr->peer), strerror(error), more);
	l->shortage_ns = l->now;
	l->shortages = 0;
}
