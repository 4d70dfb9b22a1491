/*
 * tcp.c: a TCP transport: read, write, close.
 *
 * Layer: transport.  The receive buffer is the loop's scratch area, so a
 * connection that is idle costs this struct and nothing else.
 */
#include "transport/tcp.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/received.h"
#include "event/fork.h"
#include "net/errors.h"
#include "transport/cork.h"
#include "transport/deadline.h"
#include "transport/input.h"
#include "transport/join.h"
#include "transport/owned.h"
#include "transport/server.h"
#include "transport/tx.h"

#define HIGH_DEFAULT 65536u
#define DRAIN_READS 16

static void on_ready(void *arg, unsigned ready);
static void go_on(struct pfk_transport *tr);

static void
update_interest(struct pfk_transport *tr)
{
	pfk__io_want(&tr->io, pfk__tcp_interest(tr));
}

void
pfk__tcp_watch(struct pfk_transport *tr)
{
	struct pfk_transport *from = tr->joint != NULL ? tr->joint->source
						       : NULL;

	update_interest(tr);
	if (from != NULL && from->state == PFK__TCP_OPEN)
		update_interest(from);
}

/* connection_lost: the last callback, then nothing is left. */
static void
on_lost(void *arg)
{
	struct pfk_transport *tr = arg;

	assert(tr->state == PFK__TCP_LOST && !tr->io.active);
	pfk__tx_begin(tr, PFK__TX_LOST);
	if (tr->self != NULL && tr->proto->connection_lost != NULL)
		tr->proto->connection_lost(tr->self, tr->error);
	tr->gone = true;
	pfk__tcp_note(tr);
	pfk__tx_end(tr->io.loop);
	pfk__point(tr->io.loop->ledger);
	/* Another process may have turned SO_LINGER on: there, or on the listener. */
	if (tr->shared || tr->roster->server != NULL)
		pfk__never_linger(tr->io.fd);
	pfk__ledger_end(tr->io.loop->ledger, tr->io.fd);
	pfk__roster_leave(tr);
	pfk__input_clear(tr);
	pfk__deadlines_free(tr);
	free(tr->extra);
	free(tr);
}

void
pfk__tcp_lose(struct pfk_transport *tr, int error)
{
	if (tr->state == PFK__TCP_LOST)
		return;
	tr->state = PFK__TCP_LOST;
	tr->error = error;
	pfk__tell_shortage(tr, error);
	/* A successor calls connection_lost too, where it can be of interest. */
	if (tr->survives && tr->made && tr->roster->proto->block_bytes > 0)
		pfk__tcp_note(tr);
	else
		pfk__ledger_note(tr->io.loop->ledger, tr->io.fd,
		    PFK__ENTRY_DOOMED);
	pfk__join_lost(tr);
	if (tr->shared)
		pfk__io_stop(&tr->io);
	else
		pfk__io_abandon(&tr->io);
	pfk_timer_cancel(&tr->linger);
	pfk__deadlines_cancel(tr);
	pfk__cork_forget(tr);
	pfk__owned_consume(tr, tr->out.len);
	pfk__soon_cancel(tr->io.loop, &tr->soon);
	pfk__soon_add(tr->io.loop, &tr->soon, on_lost, tr);
}

/* made */

static struct pfk_transport *
new_transport(struct pfk__roster *roster, const struct pfk_addr *peer)
{
	struct pfk_transport *tr = calloc(1, sizeof(*tr));

	if (tr == NULL)
		return NULL;
	pfk__outq_init(&tr->out);
	tr->survives = roster->server != NULL && roster->proto->survives &&
	    roster->loop->ledger->shared;
	tr->proto = roster->proto;
	tr->roster = roster;
	tr->peer = *peer;
	tr->high = HIGH_DEFAULT;
	tr->low = HIGH_DEFAULT / 4;
	return tr;
}

struct pfk__extra *
pfk__need_extra(struct pfk_transport *tr)
{
	if (tr->extra == NULL) {
		tr->extra = calloc(1, sizeof(*tr->extra));
		if (tr->extra == NULL)
			return NULL;
		STAILQ_INIT(&tr->extra->owned);
		pfk__outq_init(&tr->extra->in.left);
		tr->extra->in.want = PFK_RECEIVE_MAX;
	}
	return tr->extra;
}

struct pfk_transport *
pfk__tcp_new(struct pfk__roster *roster, int fd, const struct pfk_addr *peer)
{
	struct pfk_transport *tr = new_transport(roster, peer);

	if (tr == NULL)
		return NULL;
	if (pfk__io_start(roster->loop, &tr->io, fd, PFK_READ, on_ready, tr) ==
	    -1) {
		free(tr);
		return NULL;
	}
	pfk__tcp_record(tr);
	return tr;
}

struct pfk_transport *
pfk__tcp_rebuild(struct pfk__roster *roster, int fd, struct pfk__record *r)
{
	struct pfk_transport *tr = new_transport(roster, &r->stream.peer);

	if (tr == NULL)
		return NULL;
	if (pfk__io_resume(roster->loop, &tr->io, fd, 0, on_ready, tr) == -1) {
		free(tr);
		return NULL;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	pfk__tcp_restore(tr, r);
	return tr;
}

void
pfk__tcp_unblock(const struct pfk_transport *tr)
{
	if (tr->shared)
		fcntl(tr->io.fd, F_SETFL, O_NONBLOCK);
}

void
pfk__tcp_go_on(struct pfk_transport *tr)
{
	if (tr->state != PFK__TCP_LOST)
		go_on(tr);
}

void
pfk__tcp_begin(struct pfk_transport *tr, void *arg)
{
	struct pfk__ledger_head *h = tr->io.loop->ledger->head;
	int32_t serving = h->serving;

	/* Not the listener, which has brought it. */
	h->serving = tr->io.fd;
	pfk__tx_begin(tr, PFK__TX_MADE);
	tr->self = tr->proto->connection_made(tr, arg);
	tr->made = tr->self != NULL;
	pfk__tcp_note(tr);
	if (tr->self == NULL)
		pfk__tcp_lose(tr, 0);
	pfk__tx_end(tr->io.loop);
	if (!pfk__forked(tr->io.loop))
		pfk__tcp_uncork(tr);
	/* Often the first data came with the connection. */
	if (tr->state == PFK__TCP_OPEN && !tr->paused)
		on_ready(tr, PFK_READ);
	h->serving = serving;
}

/* closing */

void
pfk_close(struct pfk_transport *tr)
{
	tr->close_wanted = tr->state == PFK__TCP_GIVEN;
	pfk__tcp_uncork(tr);
	if (tr->state != PFK__TCP_OPEN)
		return;
	tr->state = PFK__TCP_CLOSING;
	tr->ended = !tr->eof_received;
	/* After the peer's end, close(2) itself sends the FIN. */
	tr->eof_wanted = !tr->eof_received;
	pfk__tcp_note(tr);
	pfk__tcp_enter(tr);
	pfk__join_end_sink(tr);
	pfk_unjoin(tr);
	pfk__tcp_watch(tr);
	if (pfk__unsent(tr) > 0)
		return;
	pfk__soon_cancel(tr->io.loop, &tr->soon);
	pfk__soon_add(tr->io.loop, &tr->soon, pfk__tcp_flush_soon, tr);
}

void
pfk_abort(struct pfk_transport *tr)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	tr->abort_wanted = tr->state == PFK__TCP_GIVEN;
	pfk__tcp_uncork(tr);
	if (tr->state == PFK__TCP_LOST || tr->abort_wanted)
		return;
	setsockopt(tr->io.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	pfk__tcp_lose(tr, ECONNABORTED);
}

void
pfk__tcp_end(struct pfk_transport *tr)
{
	tr->cut = true;
	pfk__tcp_lose(tr, ECONNABORTED);
}

void
pfk__tcp_freeze(struct pfk_transport *tr)
{
	assert(tr->state == PFK__TCP_OPEN && tr->io.active);
	tr->state = PFK__TCP_GIVEN;
	tr->shared = true;
	pfk__tcp_enter(tr);
	pfk__io_stop(&tr->io);
	pfk__soon_cancel(tr->io.loop, &tr->soon);
}

/* Redo the soon-callbacks that the freeze has cancelled. */
static void
on_thawed(void *arg)
{
	pfk__tcp_tell_pause(arg);
	pfk__tcp_after_flush(arg);
	pfk__tcp_tell_resume(arg);
}

static void
go_on(struct pfk_transport *tr)
{
	pfk__tcp_watch(tr);
	pfk__input_go_on(tr);
	pfk__soon_cancel(tr->io.loop, &tr->soon);
	pfk__soon_add(tr->io.loop, &tr->soon, on_thawed, tr);
}

void
pfk__tcp_thaw(struct pfk_transport *tr)
{
	int fd = tr->io.fd;

	assert(tr->state == PFK__TCP_GIVEN && !tr->io.active);
	tr->state = PFK__TCP_OPEN;
	/* With the same generation, because the chunks of `out` have it. */
	if (pfk__io_resume(tr->io.loop, &tr->io, fd, 0, on_ready, tr) == -1) {
		pfk__tcp_lose(tr, errno);
		return;
	}
	pfk__tcp_note(tr);
	pfk__tcp_enter(tr);
	go_on(tr);
	if (tr->abort_wanted)
		pfk_abort(tr);
	else if (tr->close_wanted)
		pfk_close(tr);
	/* It missed the order to stop while it was given away. */
	if (tr->roster->member.drained >= (int)PFK_DRAIN_STOP)
		pfk__tcp_drain(tr);
}

int
pfk__tcp_resume(struct pfk_transport *tr, void *arg, const void *state,
    size_t state_len, const void *unsent, size_t unsent_len)
{
	if (pfk__tcp_queue(tr, unsent, unsent_len) == -1)
		return -1;
	if (tr->proto->hand_over == pfk_hand_over_block)
		pfk__block_load(tr, state, state_len);
	tr->self = tr->proto->connection_resumed(tr, arg, state, state_len);
	if (tr->self == NULL)
		return -1;
	tr->made = true;
	pfk__tcp_note(tr);
	if (tr->state != PFK__TCP_LOST)
		go_on(tr);
	return 0;
}

/* reading */

static void
end_received(struct pfk_transport *tr)
{
	/* It is noted with its effect: a successor finds the end again. */
	tr->eof_received = true;
	pfk_unjoin(tr);
	if (tr->state == PFK__TCP_CLOSING) {
		pfk__tcp_note(tr);
		if (pfk__unsent(tr) == 0)
			pfk__tcp_lose(tr, 0);
		else
			pfk__tcp_watch(tr);
		return;
	}
	if (tr->proto->eof_received != NULL &&
	    tr->proto->eof_received(tr->self)) {
		pfk__tcp_note(tr);
		if (tr->state != PFK__TCP_LOST)
			pfk__tcp_watch(tr);
		return;
	}
	pfk_close(tr);
}

static void
received_eof(struct pfk_transport *tr)
{
	pfk__tx_begin(tr, PFK__TX_EOF);
	end_received(tr);
	pfk__tx_end(tr->io.loop);
}

/* tcp(7): the kernel forgets TCP_QUICKACK again. */
static void
rearm_quickack(const struct pfk_transport *tr)
{
	int on = 1;

	if (tr->roster->quickack)
		setsockopt(tr->io.fd, IPPROTO_TCP, TCP_QUICKACK, &on,
		    sizeof(on));
}

bool
pfk__tcp_received(struct pfk_transport *tr, ssize_t n)
{
	if (n == -1) {
		if (errno != EAGAIN && errno != EINTR)
			pfk__tcp_lose(tr, errno);
		return false;
	}
	if (n == 0) {
		received_eof(tr);
		return false;
	}
	tr->io.loop->ledger->head->hand.len = (uint32_t)n;
	pfk__tcp_count_received(tr, (uint64_t)n);
	tr->received += (uint64_t)n;
	tr->io.loop->work += (uint64_t)n;
	rearm_quickack(tr);
	if (tr->state == PFK__TCP_OPEN)
		pfk__roster_touch(tr);
	return true;
}

void
pfk__tcp_deliver(struct pfk_transport *tr, char *buf, size_t n)
{
	struct pfk_loop *l = tr->io.loop;

	if (tr->extra != NULL) {
		pfk__input_deliver(tr, buf, n);
		return;
	}
	if (tr->survives) {
		pfk__tx_begin(tr, PFK__TX_RECEIVED);
		pfk__tx_touch(tr);
	}
	l->giving = tr;
	l->given = n;
	if (tr->proto->data_received != NULL)
		tr->proto->data_received(tr->self, buf, n);
	l->giving = NULL;
	if (tr->extra != NULL && !pfk__forked(l))
		pfk__input_first(tr, buf, n);
	if (tr->survives) {
		pfk__tx_end(l);
	} else if (!pfk__forked(l)) {
		pfk__callback_ends(l);
		pfk__tcp_tell_pause(tr);
	}
}

/* One read; true while more may be there. */
static bool
receive(struct pfk_transport *tr)
{
	struct pfk_loop *l = tr->io.loop;
	size_t room = pfk__tcp_may_read(l);
	char *buf = l->scratch;
	ssize_t n;

	if (tr->state == PFK__TCP_OPEN && pfk__join_sink(tr) != NULL)
		return pfk__join_receive(tr);
	if (tr->state == PFK__TCP_OPEN && pfk__has_input(tr))
		return pfk__input_receive(tr);
	pfk__hand_take(tr, tr);
	n = recv(tr->io.fd, buf, room, MSG_DONTWAIT);
	pfk__point(l->ledger);
	if (pfk__tcp_received(tr, n) && tr->state != PFK__TCP_CLOSING) {
		uint64_t begun = pfk__tcp_response_begins(l);
		uint64_t sent = l->stats->counts[PFK__COUNT_MESSAGES_OUT];

		pfk__tcp_deliver(tr, buf, (size_t)n);
		pfk__tcp_response_ends(l, begun, sent);
	}
	pfk__hand_empty(l);
	return n == (ssize_t)room || (n > 0 && tr->state == PFK__TCP_CLOSING);
}

bool
pfk__tcp_is(const struct pfk_io *io)
{
	return io->cb == on_ready;
}

static void
on_ready(void *arg, unsigned ready)
{
	struct pfk_transport *tr = arg;

	if (tr->io.want == 0) {
		/* The back-end refused the descriptor. */
		pfk__tcp_lose(tr, errno);
		return;
	}
	if ((ready & (PFK_WRITE | PFK_FAULT)) != 0 && pfk__unsent(tr) > 0) {
		/*
		 * Deliver a pending pause_writing first, so that resume_writing
		 * has its counterpart.
		 */
		pfk__tcp_tell_pause(tr);
		if (pfk__unsent(tr) > 0)
			pfk__tcp_flush(tr);
	}
	if ((ready & (PFK_READ | PFK_FAULT)) != 0 &&
	    tr->state != PFK__TCP_LOST && (tr->io.want & PFK_READ) != 0)
		receive(tr);
	/* No error of the connection: another process has asked for reports. */
	if ((ready & PFK_FAULT) != 0 && tr->state != PFK__TCP_LOST &&
	    pfk__errors_drop(tr->io.fd) > 0)
		pfk__errors_off(tr->io.fd);
}

void
pfk__tcp_drain(struct pfk_transport *tr)
{
	if (tr->told_drain || !tr->made)
		return;
	/* Deliver the bytes that came before the stop. */
	for (int i = 0; i < DRAIN_READS && (tr->io.want & PFK_READ) != 0 &&
	     tr->state == PFK__TCP_OPEN;
	     i++) {
		if (!receive(tr))
			break;
	}
	if (tr->state != PFK__TCP_OPEN)
		return;
	pfk__tx_begin(tr, PFK__TX_DRAINING);
	tr->told_drain = true;
	pfk__tcp_note(tr);
	if (tr->proto->draining != NULL)
		tr->proto->draining(tr->self);
	else
		pfk_close(tr);
	pfk__tx_end(tr->io.loop);
}
