/*
 * records.c: a ledger that a hostile worker has written before it died.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "event/ledger.h"
#include "event/loop.h"
#include "fuzz.h"
#include "transport/server.h"
#include "unit.h"

#define BLOCK_BYTES 64
/* So many bytes have come, and the worker has read a part of them. */
#define SENT 20

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	return tr;
}

static void
received(void *self, const void *buf, size_t len)
{
	pfk_write(self, buf, len);
}

static void *
resumed(struct pfk_transport *tr, void *arg, const void *buf, size_t len)
{
	(void)buf;
	return made(tr, len == BLOCK_BYTES ? arg : NULL);
}

static const struct pfk_protocol echo = {.connection_made = made,
    .data_received = received,
    .connection_resumed = resumed,
    .survives = true,
    .block_bytes = BLOCK_BYTES};

static size_t
take(void *to, size_t len, const uint8_t *data, size_t size)
{
	size_t n = len < size ? len : size;

	memcpy(to, data, n);
	return n;
}

/* As of a worker that has committed one transaction; a part stays as it is. */
static void
make_plausible(struct pfk__ledger *g, struct pfk__record *r)
{
	struct pfk__hand *h = &g->head->hand;

	r->stream.received0 = r->stream.sent0 = 0;
	r->stream.given_to = 0;
	g->head->taking = 0;
	h->sent %= 4;
	h->received %= SENT;
	h->len = h->len % 16 == 0 ? PFK__HAND_SPILL : h->len % SENT;
	h->at %= 8;
	for (int i = 0; i < 2; i++) {
		struct pfk__version *v = &r->stream.versions[i];

		v->tx = i == 0 ? 0 : v->tx;
		v->in %= SENT + 1;
		v->out %= 4;
		v->flags &= 0x1f;
		v->left = v->left % 2 == 0 ? 0 : v->left % SENT;
		v->last = 0;
	}
	for (int i = 0; i < 8; i++) {
		struct pfk__chunk *c = &g->chunks[i];

		if (c->len % 2 == 0)
			continue;
		c->fd = (int32_t)(r - g->records) + 1;
		c->generation = r->generation;
		c->pos %= 4;
		c->len %= 2 * (uint32_t)PFK__CHUNK_BYTES;
	}
	g->head->chunks_top = 8;
}

/* The head, the connection's record, and chunks; all else is empty. */
static void
scribble(struct pfk__ledger *g, int fd, int listener, const uint8_t *data,
    size_t size)
{
	struct pfk__record *r = &g->records[fd];
	size_t n = take(g->head, offsetof(struct pfk__ledger_head, die_at),
	    data, size);

	n += take(r, sizeof(*r), data + n, size - n);
	take(g->chunks, 8 * sizeof(*g->chunks), data + n, size - n);
	/* Descriptors of the fuzzer's are no concern of the worker's. */
	r->stream.pipe_in = r->stream.pipe_out = 0;
	g->head->poll_fd = -1;
	/* With less room the server would not start. */
	g->head->block_bytes = BLOCK_BYTES;
	/* Mostly these, or hardly any input would get far. */
	if (size % 4 != 0) {
		r->entry = PFK__ENTRY_STREAM;
		r->server = listener;
		g->head->top = fd;
	}
	if (size % 2 != 0)
		g->head->hand.fd = fd;
	if (size % 8 != 0)
		make_plausible(g, r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pfk__ledger g;
	struct pfk_addr addr;
	struct pfk_server *s;
	struct pfk_loop *l;
	int listener = unit_listen(&addr), client = unit_connect(&addr);
	int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	char bytes[SENT] = "some bytes, or none";

	pfk_log_set_level(PFK_ERROR);
	fuzz_reset_at_close(client);
	if (accepted == -1 || pfk__ledger_open(&g, false) == -1)
		abort();
	if (send(client, bytes, SENT, MSG_NOSIGNAL) != SENT)
		abort();
	recv(accepted, bytes, size % SENT, 0);
	scribble(&g, accepted, listener, data, size);
	g.resumed = true;
	pfk__ledger_mistrust(&g);
	l = pfk__loop_new_with(NULL, &g);
	s = l != NULL ? pfk_serve(l, listener, &echo, NULL, NULL) : NULL;
	if (s == NULL)
		abort();
	l->serving[PFK_TCP]->rebuild(l, -1, -1);
	fuzz_turn(l, 4);
	pfk_loop_drain(l, PFK_DRAIN_NOW);
	pfk_loop_run(l);
	pfk_server_close(&s);
	pfk_loop_free(l);
	pfk__ledger_close(&g);
	close(accepted);
	close(client);
	return 0;
}
