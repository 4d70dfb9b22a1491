/*
 * udp.c: -u: a connected socket, a datagram, an answer.
 *
 * The next datagram goes out when the one before is answered or given up, and
 * its time has come, as ping(8) does it.  An address that refuses before the
 * first answer is followed by the host's next one.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/quote.h"
#include "client.h"

#define DATAGRAM_MAX 65507 /* over IPv4 */
#define ADDRESSES_MAX 16
#define FOREVER_NS (UINT64_C(365) * 86400 * PFK_SECOND_NS)

static struct {
	struct client *client;
	struct pfk_connector *connector;
	struct pfk_datagram *d;
	struct pfk_timer *timeout, *pace;
	struct pfk_signal *interrupt;
	char *buf; /* standard input */
	const void *message;
	size_t len;
	int64_t at, total; /* datagrams: this one's number, all */
	int64_t answered, wrong;
	bool waiting;
	uint64_t first_ns, sent_ns;
	uint64_t min_ns, max_ns, sum_ns;
	int error; /* the last one that was received */
	char peer[PFK_ADDR_SIZE];
	struct pfk_addr addrs[ADDRESSES_MAX];
	int n_addrs, next_addr;
	char host[PFK_HOST_SIZE]; /* the address in use */
	char causes[PFK_CAUSES_SIZE];
	int not_connected; /* the first address' error */
} run;

static void connect_next(void);
static void send_next(void *arg);
static void on_interrupt(void *arg, int signo);

static void
over(void)
{
	pfk_timer_cancel(&run.timeout);
	pfk_timer_cancel(&run.pace);
	session_over(run.client);
}

/* This one is answered or lost: on to the next. */
static void
advance(void)
{
	struct client *c = run.client;
	uint64_t now = pfk_loop_now(c->loop), due;

	pfk_timer_cancel(&run.timeout);
	run.waiting = false;
	if (++run.at == run.total) {
		over();
		return;
	}
	/* The messages of one round follow each other. */
	due = run.at % c->o.n_messages != 0 ? now
					    : run.first_ns +
		(uint64_t)(run.at / c->o.n_messages) * c->o.interval_ns;
	client_timer(&run.pace, c->loop, due > now ? due - now : 0, send_next,
	    NULL);
}

static void
on_timeout(void *arg)
{
	(void)arg;
	pfk_log(PFK_INFO, "no answer to datagram %lld", (long long)run.at + 1);
	advance();
}

static void
send_next(void *arg)
{
	struct client *c = run.client;
	char quoted[QUOTE_SIZE];

	(void)arg;
	if (run.buf == NULL) {
		run.message = c->o.messages[run.at % c->o.n_messages];
		run.len = strlen(run.message);
	}
	pfk_log(PFK_INFO, "sent: %s",
	    quote_bytes(quoted, run.message, run.len));
	run.waiting = true;
	run.sent_ns = pfk_loop_now(c->loop);
	if (c->o.timeout_ns > 0)
		client_timer(&run.timeout, c->loop, c->o.timeout_ns, on_timeout,
		    NULL);
	pfk_sendto(run.d, run.message, run.len, NULL, NULL);
}

static bool
same(const struct pfk_packet *p, const void *message, size_t len)
{
	return p->len == len && memcmp(p->buf, message, len) == 0;
}

/* The answer to one before this, late or for the second time. */
static bool
belongs_before(const struct pfk_packet *p)
{
	const struct options *o = &run.client->o;

	for (int i = 0; i < o->n_messages && i < run.at; i++) {
		if (same(p, o->messages[i], strlen(o->messages[i])))
			return true;
	}
	return false;
}

static void
received(void *self, const struct pfk_packet *p)
{
	uint64_t ns = pfk_loop_now(run.client->loop) - run.sent_ns;
	char quoted[QUOTE_SIZE];

	(void)self;
	quote_addr(run.peer, p->from);
	pfk_log(PFK_INFO, "recv: %s from %s, %.3f ms",
	    quote_bytes(quoted, p->buf, p->len), run.peer, (double)ns / 1e6);
	if (!run.waiting)
		return; /* late, or one too many */
	if (!same(p, run.message, run.len)) {
		if (belongs_before(p))
			return;
		run.wrong++;
		advance();
		return;
	}
	if (run.buf != NULL && output(p->buf, p->len) == -1) {
		client_fail(run.client, EXIT_LOST, "OTHER",
		    "standard output: %s", strerror(errno));
		return;
	}
	if (run.buf == NULL) {
		show(run.client, p->buf, p->len);
		show_line_end(run.client);
	}
	run.min_ns = run.answered == 0 || ns < run.min_ns ? ns : run.min_ns;
	run.max_ns = ns > run.max_ns ? ns : run.max_ns;
	run.sum_ns += ns;
	run.answered++;
	advance();
}

static void
error_received(void *self, int error)
{
	(void)self;
	run.error = error;
	pfk_log(PFK_INFO, "error: %s", strerror(error));
	if (!run.waiting)
		return;
	if (run.answered > 0 || run.next_addr == run.n_addrs) {
		advance();
		return;
	}
	pfk_timer_cancel(&run.timeout);
	run.waiting = false;
	pfk_datagram_close(&run.d);
	connect_next();
}

/* Judge the datagrams that have been sent by then, as ping(8) does it. */
static void
on_interrupt(void *arg, int signo)
{
	(void)arg;
	(void)signo;
	run.total = run.at + (run.waiting ? 1 : 0);
	over();
}

static void *
connection_made(struct pfk_datagram *d, void *arg)
{
	struct client *c = arg;
	struct pfk_addr peer;

	run.connector = NULL;
	run.d = d;
	if (pfk_datagram_peername(d, &peer) == 0)
		pfk_log(PFK_INFO, "connected to %s",
		    quote_addr(run.peer, &peer));
	if (run.total > 1 && run.interrupt == NULL)
		run.interrupt = pfk_signal_add(c->loop, SIGINT, on_interrupt,
		    NULL);
	run.first_ns = pfk_loop_now(c->loop);
	send_next(NULL);
	return c;
}

static void
failed(void *arg, int error, const char *causes)
{
	size_t n = strlen(run.causes);

	(void)arg;
	run.connector = NULL;
	snprintf(run.causes + n, sizeof(run.causes) - n, "%s%s",
	    n > 0 ? "; " : "", causes);
	if (run.not_connected == 0)
		run.not_connected = error;
	connect_next();
}

static const struct pfk_datagram_protocol protocol = {
    .connection_made = connection_made,
    .datagram_received = received,
    .error_received = error_received,
};

/* To the next of the host's addresses, which may refuse only later. */
static void
connect_next(void)
{
	struct client *c = run.client;
	char text[PFK_ADDR_SIZE];
	const char *errstr;
	uint16_t port;

	if (run.next_addr == run.n_addrs) {
		/* One that was connected and refused is for judge. */
		if (run.error != 0)
			over();
		else
			client_not_connected(c, run.not_connected, run.causes);
		return;
	}
	pfk_host_split(pfk_addr_format(text, &run.addrs[run.next_addr++]),
	    run.host, &port, &errstr);
	c->connect.host = run.host;
	run.connector = pfk_datagram_connect(c->loop, &c->connect, &protocol, c,
	    failed);
	if (run.connector == NULL)
		client_not_connected(c, errno, NULL);
}

/* False: it fails. */
static bool
look_up(struct client *c)
{
	uint64_t timeout = c->o.connect_timeout_ns;
	const char *errstr;
	int n = pfk_resolve(c->o.host, c->connect.port, c->connect.family,
	    timeout > 0 ? timeout : FOREVER_NS, run.addrs, ADDRESSES_MAX,
	    &errstr);

	if (n == -1)
		client_not_connected(c,
		    errno == ETIMEDOUT ? ETIMEDOUT : PFK_ENOHOST, errstr);
	run.n_addrs = n;
	return n != -1;
}

/* False: it fails. */
static bool
check_messages(struct client *c)
{
	size_t longest = 0;
	ssize_t n;

	for (int i = 0; i < c->o.n_messages && !c->o.input; i++) {
		if (strlen(c->o.messages[i]) > longest)
			longest = strlen(c->o.messages[i]);
	}
	if (c->o.input) {
		run.buf = malloc(DATAGRAM_MAX + 1);
		n = run.buf != NULL ? input_all(run.buf, DATAGRAM_MAX + 1) : -1;
		if (n == -1) {
			client_fail(c, EXIT_NOT_STARTED, "OTHER",
			    "standard input: %s", strerror(errno));
			return false;
		}
		run.message = run.buf;
		run.len = longest = (size_t)n;
	}
	if (longest <= DATAGRAM_MAX)
		return true;
	client_fail(c, EXIT_NOT_STARTED, "OTHER",
	    "the message is longer than a datagram holds (%d bytes)",
	    DATAGRAM_MAX);
	return false;
}

static void
summarize(const struct client *c)
{
	int64_t lost = run.total - run.answered;

	if (c->o.count * (int64_t)c->o.n_messages == 1 || c->o.quiet)
		return;
	printf("%lld sent, %lld received, %lld lost (%.4g%%)\n",
	    (long long)run.total, (long long)run.answered, (long long)lost,
	    100.0 * (double)lost / (double)run.total);
	if (run.answered > 0)
		printf("round trip min/avg/max %.3f/%.3f/%.3f ms\n",
		    (double)run.min_ns / 1e6,
		    (double)run.sum_ns / (double)run.answered / 1e6,
		    (double)run.max_ns / 1e6);
}

static void
judge(struct client *c)
{
	bool refused = run.error != 0 && run.answered == 0;

	if (c->status != 0 || run.answered == run.total)
		return;
	if (run.error != 0)
		client_fail(c, refused ? EXIT_NOT_STARTED : EXIT_LOST,
		    word_of(run.error), "%s port %d: %s", c->o.host, c->o.port,
		    strerror(run.error));
	else if (run.wrong > 0)
		client_fail(c, EXIT_LOST, "MISMATCH",
		    "something else has come back than was sent");
	else
		client_fail(c, EXIT_LOST, "TIMEOUT",
		    "%lld of %lld datagrams have come back",
		    (long long)run.answered, (long long)run.total);
}

static void
exchange(struct client *c)
{
	if (!check_messages(c) || !look_up(c))
		return;
	connect_next();
	if (!c->over && pfk_loop_run(c->loop) == -1)
		client_fail(c, EXIT_LOST, "OTHER", "%s", strerror(errno));
	if (c->status != 0)
		return;
	summarize(c);
	judge(c);
	if (fflush(stdout) != 0)
		client_fail(c, EXIT_LOST, "OTHER", "standard output: %s",
		    strerror(errno));
}

int
run_udp(struct client *c)
{
	memset(&run, 0, sizeof(run));
	run.client = c;
	run.total = (int64_t)c->o.count * c->o.n_messages;
	c->loop = pfk_loop_new(NULL);
	if (c->loop == NULL) {
		pfk_complain("OTHER: %s", strerror(errno));
		return EXIT_NOT_STARTED;
	}
	exchange(c);
	pfk_timer_cancel(&run.timeout);
	pfk_timer_cancel(&run.pace);
	pfk_signal_cancel(&run.interrupt);
	pfk_connect_cancel(&run.connector);
	pfk_datagram_close(&run.d);
	pfk_loop_run(c->loop);
	pfk_loop_free(c->loop);
	free(run.buf);
	return c->status;
}
