/*
 * input.c: received bytes that the protocol has not consumed, and their division
 * into messages.
 *
 * Layer: transport.
 */
#include "transport/input.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/misuse.h"
#include "event/fork.h"
#include "transport/join.h"
#include "transport/tx.h"

/* Of a long message so much is read at once. */
#define LONG_BYTES 1048576
/* Of a connection with long messages, at the beginning of one. */
#define MORE_BYTES 262144
/* Where pfk_unconsumed copies to: behind all that a callback may hold. */
#define ASIDE ((size_t)3 << 20)
static_assert(PFK_RECEIVE_MAX + 4 * PFK__READ_BYTES <= ASIDE, "they overlap");
static_assert(ASIDE + PFK_RECEIVE_MAX + PFK__READ_BYTES <= PFK__SCRATCH_BYTES,
    "no room");

/* The bytes at hand, from the first unconsumed one on. */
struct view {
	char *base;
	size_t len;
	size_t at;    /* the number of bytes consumed */
	size_t fresh; /* of len, the last ones: they are in no chunk yet */
};

static bool
can_deliver(const struct pfk_transport *tr)
{
	return tr->state == PFK__TCP_OPEN && tr->self != NULL && !tr->paused &&
	    !pfk__input_blocked(tr) &&
	    pfk__join_sink((struct pfk_transport *)(uintptr_t)tr) == NULL;
}

/* The next message's length, or 0: it is not whole yet. */
static size_t
next_message(struct pfk__input *in, const char *buf, size_t len)
{
	size_t n = len < in->want ? len : in->want;
	const char *end = NULL;

	switch (in->mode) {
	case PFK__RECEIVE_EXACTLY:
		return n == in->want ? n : 0;
	case PFK__RECEIVE_UNTIL:
		if (n > in->scanned)
			end = memchr(buf + in->scanned, in->last,
			    n - in->scanned);
		in->scanned = end == NULL && n < in->want ? n : 0;
		if (end != NULL)
			return (size_t)(end - buf) + 1;
		return n == in->want ? n : 0;
	default:
		return len;
	}
}

/* Put the kept bytes in front of the n at buf. */
static struct view
gather(const struct pfk_transport *tr, char *buf, size_t n)
{
	const struct pfk__ledger *g = tr->io.loop->ledger;
	const struct pfk__outq *q = &tr->extra->in.left;
	char *scratch = tr->io.loop->scratch, *to;
	uint64_t pos = q->pos;

	if ((size_t)(buf - scratch) < q->len) {
		memmove(scratch + q->len, buf, n);
		buf = scratch + q->len;
	}
	to = buf - q->len;
	for (int i = q->first; i != -1 && to < buf; i = g->next[i]) {
		const struct pfk__chunk *c = &g->chunks[i];
		size_t skip = (size_t)(pos - c->pos), len = c->len - skip;

		if (len > (size_t)(buf - to))
			len = (size_t)(buf - to);
		memcpy(to, pfk__chunk_data(g, i) + skip, len);
		to += len;
		pos += len;
	}
	return (
	    struct view){.base = buf - q->len, .len = q->len + n, .fresh = n};
}

/* Whether a message may be whole now, without looking at the kept bytes. */
static bool
is_enough(struct pfk__input *in, const char *buf, size_t n)
{
	size_t len = in->left.len + n;

	if (in->mode == PFK__RECEIVE_EXACTLY)
		return len >= in->want;
	if (in->mode == PFK__RECEIVE_UNTIL)
		return len >= in->want || in->scanned < in->left.len ||
		    memchr(buf, in->last, n) != NULL;
	return n > 0 || in->due;
}

/* Call the protocol for one message; false: it waits for more. */
static bool
give(struct pfk_transport *tr, struct view *v, size_t n)
{
	struct pfk_loop *l = tr->io.loop;
	struct pfk__input *in = &tr->extra->in;
	unsigned changes = in->changes;

	in->unread = 0;
	in->due = false;
	l->giving = tr;
	l->given = n;
	if (tr->proto->data_received != NULL)
		tr->proto->data_received(tr->self, v->base + v->at, n);
	l->giving = NULL;
	assert(in->unread <= n);
	v->at += n - in->unread;
	/* The same bytes would be given for ever. */
	return in->unread == 0 ||
	    (in->changes != changes && in->mode != PFK__RECEIVE_ANY);
}

/* Give all whole messages.  True: the rest waits for the unsent bytes. */
static bool
give_all(struct pfk_transport *tr, struct view *v)
{
	struct pfk__input *in = &tr->extra->in;
	size_t n;

	while (v->at < v->len && can_deliver(tr) &&
	    (n = next_message(in, v->base + v->at, v->len - v->at)) > 0) {
		if (!give(tr, v, n) || pfk__forked(tr->io.loop))
			return false;
		if (pfk__tcp_is_full(tr) || tr->io.loop->tx_full)
			return true;
	}
	return false;
}

/*
 * Keep the bytes that are not consumed.  Until the commit the old chunks stay,
 * because the version that counts needs them; then drop_consumed drops them.
 * -1: ENOMEM.
 */
static int
keep_rest(struct pfk_transport *tr, const struct view *v,
    struct pfk__outq *fresh)
{
	struct pfk__ledger *g = tr->io.loop->ledger;
	struct pfk__input *in = &tr->extra->in;
	size_t old = v->len - v->fresh, rest = v->len - v->at;
	uint64_t pos = PFK__INPUT + tr->received - rest;

	assert(v->at <= v->len && v->fresh <= v->len);
	pfk__outq_init(fresh);
	in->left_len = rest;
	if (v->at < old)
		return pfk__outq_append(&in->left, g, tr->io.fd, pos,
		    v->base + old, v->fresh);
	return pfk__outq_append(fresh, g, tr->io.fd, pos, v->base + v->at,
	    rest);
}

static void
drop_consumed(struct pfk_transport *tr, const struct view *v,
    const struct pfk__outq *fresh)
{
	struct pfk__ledger *g = tr->io.loop->ledger;
	struct pfk__input *in = &tr->extra->in;

	if (v->at < v->len - v->fresh) {
		pfk__outq_consume(&in->left, g, v->at);
		return;
	}
	pfk__outq_clear(&in->left, g);
	in->left = *fresh;
}

/* Bytes that came before the join, or are not wanted any more. */
static void
pass_on(struct pfk_transport *tr, struct view *v)
{
	struct pfk_transport *to = pfk__join_sink(tr);

	if (tr->state == PFK__TCP_OPEN && to == NULL)
		return;
	if (to != NULL && v->at < v->len)
		pfk_write(to, v->base + v->at, v->len - v->at);
	v->at = v->len;
}

/* Returns whether there may be more to deliver. */
static bool
deliver(struct pfk_transport *tr, char *buf, size_t n)
{
	struct pfk_loop *l = tr->io.loop;
	struct pfk__outq fresh;
	bool more = false, calls = is_enough(&tr->extra->in, buf, n);
	struct view v = {.base = buf - tr->extra->in.left.len,
	    .len = tr->extra->in.left.len + n,
	    .fresh = n};

	if (tr->survives) {
		pfk__tx_begin(tr, PFK__TX_RECEIVED);
		pfk__tx_touch(tr);
	}
	if (calls) {
		v = gather(tr, buf, n);
		more = give_all(tr, &v);
		pass_on(tr, &v);
	}
	if (keep_rest(tr, &v, &fresh) == -1)
		pfk__tcp_lose(tr, ENOMEM);
	if (tr->survives)
		pfk__tx_end(l);
	if (pfk__forked(l))
		return false;
	drop_consumed(tr, &v, &fresh);
	if (!tr->survives)
		pfk__callback_ends(l);
	pfk__tcp_tell_pause(tr);
	return more && can_deliver(tr);
}

void
pfk__input_deliver(struct pfk_transport *tr, char *buf, size_t n)
{
	while (deliver(tr, buf, n)) {
		n = 0;
		buf = (char *)tr->io.loop->scratch + tr->extra->in.left.len;
	}
	if (tr->state == PFK__TCP_OPEN)
		pfk__tcp_watch(tr);
}

void
pfk__input_first(struct pfk_transport *tr, const char *buf, size_t n)
{
	struct pfk__input *in = &tr->extra->in;
	struct view v = {.base = (char *)(uintptr_t)buf,
	    .len = n,
	    .at = n - in->unread,
	    .fresh = n};

	pass_on(tr, &v);
	if (keep_rest(tr, &v, &in->left) == -1)
		pfk__tcp_lose(tr, ENOMEM);
	else if (in->mode != PFK__RECEIVE_ANY)
		pfk__input_go_on(tr);
}

bool
pfk__input_receive(struct pfk_transport *tr)
{
	struct pfk_loop *l = tr->io.loop;
	struct pfk__input *in = &tr->extra->in;
	size_t room = pfk__tcp_may_read(l), len = in->left.len;
	uint64_t begun, sent = l->stats->counts[PFK__COUNT_MESSAGES_OUT];
	char *buf = (char *)l->scratch + len;
	ssize_t n;

	/* The whole messages that wait come first. */
	if (in->soon.order != 0) {
		pfk__soon_cancel(l, &in->soon);
		pfk__input_deliver(tr, buf, 0);
		return tr->state == PFK__TCP_OPEN && can_deliver(tr);
	}
	if (in->mode == PFK__RECEIVE_EXACTLY && in->want > len + room)
		room = in->want - len < LONG_BYTES ? in->want - len
						   : LONG_BYTES;
	/* Its length comes with it: else its parts are kept and put together. */
	else if (in->long_ones && len + MORE_BYTES <= PFK_RECEIVE_MAX)
		room = MORE_BYTES;
	pfk__hand_take(tr, tr);
	l->ledger->head->hand.at = (uint32_t)len;
	pfk__in_order();
	n = recv(tr->io.fd, buf, room, MSG_DONTWAIT);
	pfk__point(l->ledger);
	if (pfk__tcp_received(tr, n) && tr->state == PFK__TCP_OPEN) {
		begun = pfk__tcp_response_begins(l);
		pfk__input_deliver(tr, buf, (size_t)n);
		pfk__tcp_response_ends(l, begun, sent);
	}
	pfk__hand_empty(l);
	return n == (ssize_t)room;
}

static void
on_soon(void *arg)
{
	struct pfk_transport *tr = arg;
	struct pfk__ledger_head *h = tr->io.loop->ledger->head;
	size_t len = tr->extra->in.left.len;

	if (len == 0 || !can_deliver(tr))
		return;
	h->serving = tr->io.fd;
	pfk__input_deliver(tr, (char *)tr->io.loop->scratch + len, 0);
	h->serving = -1;
}

void
pfk__input_go_on(struct pfk_transport *tr)
{
	if (tr->extra == NULL || tr->extra->in.left.len == 0)
		return;
	pfk__soon_add(tr->io.loop, &tr->extra->in.soon, on_soon, tr);
}

void
pfk__input_pass_on(struct pfk_transport *tr)
{
	struct pfk_transport *to = pfk__join_sink(tr);
	size_t len;
	const void *bytes;

	/* In its own data_received the rest is passed on at the end. */
	if (tr->io.loop->giving == tr || !pfk__has_input(tr))
		return;
	bytes = pfk_unconsumed(tr, &len);
	pfk_write(to, bytes, len);
	pfk__outq_clear(&tr->extra->in.left, tr->io.loop->ledger);
	tr->extra->in.left_len = 0;
	pfk__tcp_note(tr);
}

int
pfk__input_restore(struct pfk_transport *tr, const void *buf, size_t n)
{
	tr->received = n;
	tr->extra->in.left_len = n;
	return pfk__outq_append(&tr->extra->in.left, tr->io.loop->ledger,
	    tr->io.fd, PFK__INPUT, buf, n);
}

void
pfk__input_clear(struct pfk_transport *tr)
{
	if (tr->extra == NULL)
		return;
	pfk__soon_cancel(tr->io.loop, &tr->extra->in.soon);
	pfk__outq_clear(&tr->extra->in.left, tr->io.loop->ledger);
}

/* calls */

int
pfk_unread(struct pfk_transport *tr, size_t n)
{
	const struct pfk_loop *l = tr->io.loop;

	if (l->giving != tr || n > l->given)
		return pfk__misuse(EINVAL,
		    "pfk_unread: more bytes than data_received was given");
	if (n > PFK_RECEIVE_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if (pfk__need_extra(tr) == NULL)
		return -1;
	tr->extra->in.unread = n;
	return 0;
}

static int
set_mode(struct pfk_transport *tr, enum pfk__receive mode, size_t want,
    char last, const char *call)
{
	struct pfk__input *in;

	if (want == 0 || want > PFK_RECEIVE_MAX)
		return pfk__misuse(EINVAL,
		    "%s: %zu bytes are none, or more than %d", call, want,
		    PFK_RECEIVE_MAX);
	if (pfk__need_extra(tr) == NULL)
		return -1;
	in = &tr->extra->in;
	if (in->mode == (uint8_t)mode && in->want == want && in->last == last)
		return 0;
	in->mode = (uint8_t)mode;
	in->want = want;
	in->long_ones |= mode == PFK__RECEIVE_EXACTLY && want > PFK__READ_BYTES;
	in->last = last;
	in->scanned = 0;
	in->changes++;
	in->due = true;
	pfk__tcp_note(tr);
	if (tr->state == PFK__TCP_OPEN)
		pfk__tcp_watch(tr);
	if (tr->io.loop->giving != tr)
		pfk__input_go_on(tr);
	return 0;
}

int
pfk_receive_exactly(struct pfk_transport *tr, size_t n)
{
	return set_mode(tr, PFK__RECEIVE_EXACTLY, n, 0, "pfk_receive_exactly");
}

int
pfk_receive_until(struct pfk_transport *tr, char last, size_t max)
{
	return set_mode(tr, PFK__RECEIVE_UNTIL, max, last, "pfk_receive_until");
}

void
pfk_receive_any(struct pfk_transport *tr)
{
	if (tr->extra != NULL)
		set_mode(tr, PFK__RECEIVE_ANY, PFK_RECEIVE_MAX, 0, "");
}

const void *
pfk_unconsumed(struct pfk_transport *tr, size_t *len)
{
	char *scratch = tr->io.loop->scratch;

	*len = tr->extra != NULL ? tr->extra->in.left.len : 0;
	if (*len == 0)
		return scratch + ASIDE;
	return gather(tr, scratch + ASIDE + *len, 0).base;
}
