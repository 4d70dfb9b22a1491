/*
 * transfer.c: send messages, and compare the answers.
 *
 * The modes move bytes; this file chooses them, and decides when the run is
 * complete.  FIN goes out when all is back, because some servers drop the
 * answers to a client that has ended.
 */
#include <errno.h>
#include <string.h>

#include "../shared/quote.h"
#include "client.h"

/* How long to wait for the server's end after ours: it need not come. */
#define GRACE_NS PFK_SECOND_NS

/* messages */

static const char *
message_at(const struct client *c, const struct cursor *k)
{
	return k->round < c->o.count ? c->o.messages[k->index] : NULL;
}

static void
skip(struct client *c, struct cursor *k, size_t n)
{
	const char *m;

	k->offset += n;
	/* Over the end of this one, and over empty ones. */
	while ((m = message_at(c, k)) != NULL && k->offset == strlen(m)) {
		k->offset = 0;
		if (++k->index < c->o.n_messages)
			continue;
		k->index = 0;
		k->round++;
	}
}

static void
on_pace(void *arg)
{
	struct client *c = arg;

	c->o.mode->pump(c);
}

/* Whether the message that begins here may go out now. */
static bool
may_begin(struct client *c)
{
	uint64_t now = pfk_loop_now(c->loop), due;

	/* A stream client asks one thing after the other. */
	if (c->o.mode == &stream_mode && c->got < c->sent)
		return false;
	if (c->next.index > 0 || c->o.interval_ns == 0)
		return true;
	if (c->got < c->sent)
		return false;
	due = c->next.round > 0 ? c->round_ns + c->o.interval_ns : now;
	if (due <= now)
		return true;
	if (c->pace == NULL)
		client_timer(&c->pace, c->loop, due - now, on_pace, c);
	return false;
}

const void *
transfer_next(struct client *c, size_t *len)
{
	const char *m;

	if (c->over)
		return NULL;
	if (c->o.input)
		return input_next(c, len);
	skip(c, &c->next, 0);
	m = message_at(c, &c->next);
	if (m == NULL || (c->next.offset == 0 && !may_begin(c)))
		return NULL;
	m += c->next.offset;
	*len = strnlen(m, CHUNK_BYTES);
	return m;
}

/* the clock */

/* Bytes moved: start the wait for the server anew. */
static void
touch(struct client *c)
{
	c->active_ns = pfk_loop_now(c->loop);
}

static void
on_watch(void *arg)
{
	struct client *c = arg;
	uint64_t now = pfk_loop_now(c->loop), due;

	if (c->got == c->sent)
		touch(c);
	due = c->active_ns + c->o.timeout_ns;
	if (now >= due)
		client_fail(c, EXIT_LOST, "TIMEOUT",
		    "%llu of %llu bytes have come back",
		    (unsigned long long)c->got, (unsigned long long)c->sent);
	else
		client_timer(&c->watch, c->loop, due - now, on_watch, c);
}

static void
on_grace(void *arg)
{
	pfk_log(PFK_INFO, "the server keeps its side open");
	session_over(arg);
}

void
transfer_begin(struct client *c)
{
	c->over = c->again = c->finished = false;
	c->got_before = c->got;
	touch(c);
	if (c->o.timeout_ns > 0)
		client_timer(&c->watch, c->loop, c->o.timeout_ns, on_watch, c);
}

/* there */

void
transfer_sent(struct client *c, const void *buf, size_t len)
{
	char quoted[QUOTE_SIZE];

	touch(c);
	if (c->next.index == 0 && c->next.offset == 0)
		c->round_ns = c->active_ns;
	c->sent += len;
	if (pfk_log_wants(PFK_DEBUG))
		pfk_log(PFK_DEBUG, "sent: %s", quote_bytes(quoted, buf, len));
	if (!c->o.input) {
		skip(c, &c->next, len);
		return;
	}
	if (c->o.verify && verify_sent(&c->verify, buf, len) == -1)
		client_fail(c, EXIT_LOST, "OTHER", "%s", strerror(errno));
	input_used(c, len);
}

void
transfer_first(struct client *c)
{
	c->connect.first = NULL;
	if (c->o.fastopen)
		c->connect.first = transfer_next(c, &c->connect.first_len);
}

void
transfer_first_sent(struct client *c)
{
	if (c->connect.first != NULL)
		transfer_sent(c, c->connect.first, c->connect.first_len);
	c->connect.first = NULL;
}

/* and back */

static bool
same_as_messages(struct client *c, const char *buf, size_t len)
{
	while (len > 0) {
		const char *m;
		size_t n;

		skip(c, &c->back, 0);
		m = message_at(c, &c->back);
		if (m == NULL)
			return false;
		m += c->back.offset;
		n = strnlen(m, len);
		if (memcmp(m, buf, n) != 0)
			return false;
		show(c, buf, n);
		skip(c, &c->back, n);
		if (c->back.offset == 0)
			show_line_end(c);
		buf += n;
		len -= n;
	}
	return true;
}

void
transfer_received(struct client *c, const void *buf, size_t len)
{
	char quoted[QUOTE_SIZE];
	bool same;

	if (c->over)
		return;
	touch(c);
	if (pfk_log_wants(PFK_DEBUG))
		pfk_log(PFK_DEBUG, "recv: %s", quote_bytes(quoted, buf, len));
	if (c->o.input && output(buf, len) == -1) {
		client_fail(c, EXIT_LOST, "OTHER", "standard output: %s",
		    strerror(errno));
		return;
	}
	c->got += len;
	if (c->got > c->sent) {
		client_fail(c, EXIT_LOST, "MISMATCH",
		    "more has come back than was sent");
		return;
	}
	same = !c->o.input ? same_as_messages(c, buf, len)
	    : c->o.verify  ? verify_got(&c->verify, buf, len)
			   : true;
	if (same && transfer_complete(c) && c->o.verify)
		same = verify_end(&c->verify);
	if (!same)
		client_fail(c, EXIT_LOST, "MISMATCH",
		    "something else has come back than was sent");
	else
		c->o.mode->pump(c);
}

bool
transfer_complete(const struct client *c)
{
	if (c->got != c->sent)
		return false;
	return c->o.input ? c->input.ended && c->input.len == 0
			  : message_at(c, &c->next) == NULL;
}

bool
transfer_finish(struct client *c)
{
	uint64_t ns = GRACE_NS;

	if (c->over || c->finished || !transfer_complete(c))
		return false;
	c->finished = true;
	pfk_log(PFK_INFO, "all is back: ending our side");
	if (c->o.timeout_ns > 0 && c->o.timeout_ns < ns)
		ns = c->o.timeout_ns;
	client_timer(&c->grace, c->loop, ns, on_grace, c);
	return true;
}

void
transfer_ended(struct client *c, int error)
{
	if (c->over)
		return;
	if (error == 0)
		pfk_log(PFK_INFO, "the server has closed the connection");
	/* An end that we have asked for may well be a reset. */
	if (c->finished || transfer_complete(c)) {
		session_over(c);
	} else if (!c->o.input && c->got > c->got_before &&
	    c->back.offset == 0) {
		pfk_log(PFK_INFO, "not all is back: connecting again");
		c->next = c->back;
		c->sent = c->got;
		c->again = true;
		session_over(c);
	} else if (error != 0) {
		client_fail(c, EXIT_LOST, word_of(error),
		    "%s, with %llu of %llu bytes back", strerror(error),
		    (unsigned long long)c->got, (unsigned long long)c->sent);
	} else {
		client_fail(c, EXIT_LOST, "MISMATCH",
		    "the server has closed with %llu of %llu bytes back",
		    (unsigned long long)c->got, (unsigned long long)c->sent);
	}
}
