/*
 * verdict.c: find the owner of a connection that was on its way when a process
 * died.
 *
 * Layer: event.
 */
#include "event/verdict.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/received.h"
#include "event/ledger.h"

/* For a process that is healthy. */
#define PATIENCE_MS 1000

/* A channel has no record; the number may be of anything else by now. */
static bool
may_be_channel(const struct pfk__ledger *g, int fd)
{
	const struct pfk__record *r = pfk__record(g, fd);

	return r != NULL && r->entry == PFK__ENTRY_NONE;
}

/*
 * If it cannot be sent, the giver does not learn that its connection was taken,
 * and keeps it.  But if the giver has died, the connection is nobody else's.
 */
static void
send_again(struct pfk__ledger *g)
{
	struct pfk__ledger_head *h = g->head;
	struct pollfd p = {.events = POLLOUT};

	if (h->verdict_to <= 0 || !may_be_channel(g, h->verdict_to - 1))
		return;
	p.fd = h->verdict_to - 1;
	while (send(p.fd, &h->verdict, sizeof(h->verdict),
		   MSG_NOSIGNAL | MSG_DONTWAIT) == -1) {
		if (errno == EAGAIN && poll(&p, 1, PATIENCE_MS) != 1) {
			h->verdict_to = 0;
			return;
		}
		if (errno != EAGAIN && errno != EINTR)
			return;
	}
}

/* 1, 0 at the end of the channel, or -1: it does not come. */
static int
receive(int from, union pfk__reply *v)
{
	struct pollfd p = {.fd = from, .events = POLLIN};
	struct pfk__parcel parcel;
	ssize_t n;

	for (;;) {
		n = pfk__receive(from, v, sizeof(*v), &parcel);
		pfk__parcel_close(&parcel);
		if (n == (ssize_t)sizeof(*v))
			return 1;
		if (n == -1 && errno == EAGAIN && poll(&p, 1, PATIENCE_MS) != 1)
			return -1;
		/* The verdicts of a taker that has died are behind ECONNRESET. */
		if (n != -1 ||
		    (errno != EAGAIN && errno != EINTR && errno != ECONNRESET))
			return 0;
	}
}

static void
doom(struct pfk__ledger *g, int channel, const union pfk__reply *v)
{
	for (int fd = 0; fd <= g->head->top && fd < g->size; fd++) {
		struct pfk__record *r = &g->records[fd];

		if (r->entry == PFK__ENTRY_STREAM &&
		    r->stream.given_to == channel + 1 &&
		    (v == NULL || r->stream.given == v->number))
			r->entry = PFK__ENTRY_DOOMED;
	}
}

/*
 * The taker answers the packets that it has received and then sees the end.
 * Connections
 * without a verdict have not been received; if the taker is stopped or hangs, they
 * are still before it, and it may take them at any time.
 */
static void
settle_channel(struct pfk__ledger *g, int channel)
{
	union pfk__reply v;
	int rc;

	if (!may_be_channel(g, channel))
		return;
	shutdown(channel, SHUT_WR);
	while ((rc = receive(channel, &v)) == 1) {
		if (v.answer == PFK__ANSWER_TAKEN)
			doom(g, channel, &v);
	}
	if (rc == -1)
		doom(g, channel, NULL);
}

void
pfk__verdicts_settle(struct pfk__ledger *g)
{
	send_again(g);
	for (int fd = 0; fd <= g->head->top && fd < g->size; fd++) {
		struct pfk__record *r = &g->records[fd];

		if (r->entry != PFK__ENTRY_STREAM || r->stream.given_to <= 0)
			continue;
		settle_channel(g, r->stream.given_to - 1);
		if (r->entry == PFK__ENTRY_STREAM)
			r->stream.given_to = 0;
	}
}
