/*
 * each.c: call a function for each connection of a protocol.
 *
 * Layer: transport.  It goes by descriptors, because calls may add connections, end
 * them, and change the order of a server's list.
 */
#include "base/misuse.h"
#include "event/fork.h"
#include "transport/tcp.h"

void
pfk_loop_each(struct pfk_loop *l, const struct pfk_protocol *proto,
    void (*call)(void *self, void *arg), void *arg)
{
	if (call == NULL) {
		pfk__need_callback("pfk_loop_each", false);
		return;
	}
	for (int fd = 0; fd < l->table_size && !pfk__forked(l); fd++) {
		const struct pfk_io *io = l->table[fd].io;
		const struct pfk_transport *tr;

		if (io == NULL || !pfk__tcp_is(io))
			continue;
		tr = io->arg;
		if (tr->state == PFK__TCP_OPEN && tr->made &&
		    tr->self != NULL && tr->proto == proto)
			call(tr->self, arg);
	}
}
