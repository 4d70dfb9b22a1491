/*
 * udp_rebuild.c: go on with the datagrams that a predecessor had in hand.
 *
 * Layer: transport.  recvmmsg(2) and sendmmsg(2) write each message's length
 * when that message is done, into the ledger: so it tells which ones were
 * received and which answers have left, wherever the process was killed.
 */
#include <string.h>

#include "transport/udp.h"

/* The same for an entry that holds a message: set its pointers anew. */
static void
restore(struct pfk__batch *b, unsigned i, char *scratch)
{
	size_t control = b->in[i].msg_hdr.msg_controllen;
	socklen_t name = b->in[i].msg_hdr.msg_namelen;
	unsigned len = b->in[i].msg_len;
	int flags = b->in[i].msg_hdr.msg_flags;

	pfk__udp_prepare(b, i, scratch);
	b->in[i].msg_len = len;
	b->in[i].msg_hdr.msg_namelen = name;
	b->in[i].msg_hdr.msg_flags = flags;
	if (control <= sizeof(b->in_control[i]))
		b->in[i].msg_hdr.msg_controllen = control;
}

/* The keeper has seen a crash while a datagram was delivered. */
static void
look_for_fault(struct pfk_loop *l, struct pfk__batch *b, unsigned n)
{
	char name[PFK_ADDR_SIZE];
	uint32_t i = b->at.message, len;

	if (l->ledger->head->at_fault == 0 || i >= n || b->skipping != 0)
		return;
	b->skip = b->at;
	b->skipping = 1;
	len = b->in[i].msg_len;
	pfk_log(PFK_ERROR,
	    "the worker before died while it handled a datagram from %s; "
	    "dropped it, and all that was received with it: %u byte%s",
	    pfk_addr_format(name, &b->senders[i].addr), len,
	    len == 1 ? "" : "s");
}

/* A piece lies in the scratch area, and so does the next one. */
static bool
sound_pieces(const struct pfk__batch *b, const struct pfk__train *t,
    const char *scratch)
{
	unsigned n = 0;

	for (int p = t->first; p != -1; p = b->pieces[p].next) {
		const struct iovec *iov;
		uintptr_t at;

		if (p < 0 || p >= PFK__BATCH || n++ == PFK__BATCH)
			return false;
		iov = &b->pieces[p].iov;
		at = (uintptr_t)iov->iov_base - (uintptr_t)scratch;
		if (at > PFK__SCRATCH_BYTES ||
		    iov->iov_len > PFK__SCRATCH_BYTES - at)
			return false;
	}
	return true;
}

bool
pfk__udp_sound(const struct pfk__batch *b, const char *scratch)
{
	if (b->n_trains > PFK__BATCH)
		return false;
	for (unsigned i = 0; i < b->n_trains; i++) {
		const struct pfk__train *t = &b->trains[i];

		if (t->to.len > sizeof(t->to.in6) || t->sender > PFK__BATCH ||
		    t->from.len > sizeof(t->from.in6) || t->segment == 0 ||
		    !sound_pieces(b, t, scratch))
			return t->n == 1 && t->bytes == 0 &&
			    sound_pieces(b, t, scratch);
	}
	return true;
}

/*
 * Deliver the datagrams that a predecessor received and perhaps did not answer.
 */
static void
rebuild_hand(struct pfk_loop *l)
{
	struct pfk__batch *b = l->batch;
	struct pfk_datagram *d = pfk__udp_next_open(LIST_FIRST(&l->members));
	unsigned n = 0;

	while (d != NULL && d->io.fd != b->reading - 1)
		d = pfk__udp_next_open(LIST_NEXT(&d->member, link));
	while (n < PFK__BATCH && b->in[n].msg_len <= PFK__PACKET_BYTES)
		n++;
	for (unsigned i = 0; i < n; i++)
		restore(b, i, l->scratch);
	look_for_fault(l, b, n);
	if (d == NULL || !d->proto->survives) {
		b->n_trains = b->n_pieces = 0;
		b->reading = 0;
	} else {
		l->ledger->head->serving = d->io.fd;
		pfk__udp_send_rest(d);
		pfk__udp_send_clear(b);
		pfk__udp_handle(d, b, n);
	}
	for (unsigned i = 0; i < PFK__BATCH; i++)
		pfk__udp_prepare(b, i, l->scratch);
	pfk__udp_send_clear(b);
}

int
pfk__udp_rebuild(struct pfk_loop *l, int accepted, int listener)
{
	const struct pfk__ledger *g = l->ledger;

	(void)accepted;
	(void)listener;

	/* Adopted ones first: one of them may have been read from. */
	for (int fd = 0; fd < g->size && fd <= g->head->top; fd++) {
		const struct pfk__record *r = &g->records[fd];

		if (r->entry == PFK__ENTRY_DATAGRAM && r->owner >= 0 &&
		    pfk__udp_adopt(l, fd, r->owner) == -1)
			pfk__ledger_end(l->ledger, fd);
	}
	if (l->batch->reading != 0)
		rebuild_hand(l);
	return 0;
}
