/*
 * proxy [-p PORT] --upstream HOST:PORT...: a TCP proxy in front of some servers.
 *
 * A client goes to the first upstream that is up, or with --spread to each in its
 * turn, and on to the next one while none accepts. Each worker connects to each
 * upstream now and then, to learn which are up. --proxy-in takes the client's address
 * from a header of the PROXY protocol, version 2, and --proxy-out sends one.
 *
 * The bytes do not come by here: pfk_join forwards them, the bulk by splice(2), and
 * slows each side down to the pace of the other. A connection that is forwarded stays
 * in its worker over a reload, until it ends.
 */
#include <errno.h>
#include <prefork.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy_header.h"

#define UPSTREAMS 16

struct upstream {
	char host[PFK_HOST_SIZE];
	uint16_t port;
};

struct list {
	int n;
	struct upstream upstream[UPSTREAMS];
};

struct config {
	struct list upstreams;
	bool in, out, spread;
	uint64_t interval_ns, timeout_ns;
};

/* the upstreams, as this worker knows them */

static const struct config *config;
static struct pfk_loop *loop;

static struct health {
	bool down;
	struct pfk_connector *probe;
	struct pfk_timer *next;
} health[UPSTREAMS];

static void
judge(struct health *h, bool down, const char *causes)
{
	const struct upstream *u = config->upstreams.upstream + (h - health);

	if (h->down == down)
		return;
	h->down = down;
	if (down)
		pfk_log(PFK_WARNING, "upstream %s:%u is down: %s", u->host,
		    u->port, causes);
	else
		pfk_log(PFK_INFO, "upstream %s:%u is up", u->host, u->port);
}

static struct pfk_connector *
dial(size_t i, const struct pfk_protocol *proto, void *arg,
    void (*failed)(void *arg, int error, const char *causes))
{
	const struct upstream *u = config->upstreams.upstream + i;
	struct pfk_connect_options options = {.host = u->host,
	    .port = u->port,
	    .timeout_ns = config->timeout_ns};

	return pfk_connect(loop, &options, proto, arg, failed);
}

static void probe(void *arg);

static void
probe_failed(void *arg, int error, const char *causes)
{
	struct health *h = arg;

	(void)error;
	judge(h, true, causes);
	pfk_timer_set(&h->next, loop, config->interval_ns, probe, h);
}

static void *
probe_made(struct pfk_transport *tr, void *arg)
{
	struct health *h = arg;
	uint8_t local[HEADER_MAX];

	judge(h, false, NULL);
	if (config->out)
		pfk_write(tr, local, header_format(local, NULL, NULL));
	pfk_close(tr);
	pfk_timer_set(&h->next, loop, config->interval_ns, probe, h);
	return tr;
}

static void
probe(void *arg)
{
	static const struct pfk_protocol once = {.connection_made = probe_made};
	struct health *h = arg;

	h->probe = dial((size_t)(h - health), &once, h, probe_failed);
	if (h->probe == NULL)
		probe_failed(h, errno, strerror(errno));
}

/* sessions: a client and its upstream */

struct session;

struct side {
	struct session *session;
	struct side *other;
	struct pfk_transport *tr; /* NULL: none, or lost */
	bool ended;               /* it has sent its end */
};

struct session {
	struct side client, upstream;
	struct pfk_connector *connector;
	size_t at, tries;
	struct pfk_addr from, to;
};

static const struct pfk_protocol forward;

static void try_next(struct session *s);

static void
failed(void *arg, int error, const char *causes)
{
	struct session *s = arg;

	(void)error;
	s->connector = NULL;
	judge(&health[s->at], true, causes);
	try_next(s);
}

static void *
connected(struct pfk_transport *tr, void *arg)
{
	struct session *s = arg;
	uint8_t h[HEADER_MAX];

	s->connector = NULL;
	s->upstream.tr = tr;
	judge(&health[s->at], false, NULL);
	if (config->out)
		pfk_write(tr, h, header_format(h, &s->from, &s->to));
	if (pfk_join(s->client.tr, tr) == -1 ||
	    pfk_join(tr, s->client.tr) == -1)
		pfk_abort(s->client.tr);
	pfk_resume_reading(s->client.tr);
	return &s->upstream;
}

/* The next upstream that is up, or else, in the end, one that was down. */
static void
try_next(struct session *s)
{
	size_t n = (size_t)config->upstreams.n;

	while (s->connector == NULL && s->tries < 2 * n) {
		bool second = s->tries++ >= n;

		s->at = (s->at + 1) % n;
		if (health[s->at].down == second)
			s->connector = dial(s->at, &forward, s, failed);
	}
	if (s->connector == NULL)
		pfk_close(s->client.tr);
}

static void
begin(struct session *s)
{
	static size_t turn;

	pfk_pause_reading(s->client.tr);
	s->at = (config->spread ? turn++ : 0) + (size_t)config->upstreams.n - 1;
	try_next(s);
}

static void *
accepted(struct pfk_transport *tr, void *arg)
{
	struct session *s = calloc(1, sizeof(*s));

	(void)arg;
	if (s == NULL)
		return NULL;
	s->client = (struct side){s, &s->upstream, tr, false};
	s->upstream = (struct side){s, &s->client, NULL, false};
	s->from = *pfk_peername(tr);
	if ((config->out && pfk_sockname(tr, &s->to) == -1) ||
	    (config->in && pfk_receive_exactly(tr, HEADER) == -1)) {
		free(s);
		return NULL;
	}
	if (!config->in)
		begin(s);
	return &s->client;
}

/* The beginning of a header, and then the whole of it. */
static void
received(void *self, const void *buf, size_t len)
{
	struct side *side = self;
	struct session *s = side->session;
	size_t rest = header_rest(buf);

	if (rest != NO_HEADER && len < HEADER + rest) {
		pfk_unread(side->tr, len);
		pfk_receive_exactly(side->tr, HEADER + rest);
	} else if (rest != NO_HEADER &&
	    header_parse(buf, len, &s->from, &s->to) == 0) {
		pfk_receive_any(side->tr);
		begin(s);
	} else {
		pfk_log(PFK_WARNING,
		    "closed a client without a good PROXY header");
		pfk_abort(side->tr);
	}
}

static bool
eof_received(void *self)
{
	struct side *side = self, *other = side->other;

	side->ended = true;
	if (other->tr == NULL)
		return false;
	pfk_write_eof(other->tr);
	if (other->ended)
		pfk_close(other->tr);
	return !other->ended;
}

/* The service stops: let those that are forwarded end by themselves. */
static void
draining(void *self)
{
	struct side *side = self;

	if (side->session->tries == 0)
		pfk_close(side->tr);
}

static void
lost(void *self, int error)
{
	struct side *side = self, *other = side->other;

	side->tr = NULL;
	if (other->tr != NULL && error != 0)
		pfk_abort(other->tr);
	else if (other->tr != NULL)
		pfk_close(other->tr);
	if (other->tr == NULL) {
		pfk_connect_cancel(&side->session->connector);
		free(side->session);
	}
}

static const struct pfk_protocol client = {.connection_made = accepted,
    .data_received = received,
    .eof_received = eof_received,
    .draining = draining,
    .connection_lost = lost};

static const struct pfk_protocol forward = {.connection_made = connected,
    .eof_received = eof_received,
    .draining = draining,
    .connection_lost = lost};

/* the program */

static int
parse_upstream(void *field, const char *value, bool begins, const char **errstr)
{
	struct list *list = field;
	struct upstream *u;

	if (begins)
		*list = (struct list){0};
	u = list->upstream + list->n;
	*errstr = "at most 16";
	if (list->n == UPSTREAMS)
		return -1;
	if (pfk_host_split(value, u->host, &u->port, errstr) == -1)
		return -1;
	*errstr = "needs a host and a port, HOST:PORT";
	if (*u->host == '\0' || u->port == 0)
		return -1;
	list->n++;
	return 0;
}

static bool
format_upstream(const void *field, int i, char *buf, size_t size)
{
	const struct list *list = field;
	const struct upstream *u = list->upstream + i;

	if (i < list->n)
		snprintf(buf, size, strchr(u->host, ':') ? "[%s]:%u" : "%s:%u",
		    u->host, u->port);
	return i < list->n;
}

#define AT(field) offsetof(struct config, field)

static const struct pfk_option options[] = {
    {'U', "upstream", "HOST:PORT", PFK_OPT_CUSTOM, .offset = AT(upstreams),
	.parse = parse_upstream, .format = format_upstream,
	.help = "a server; repeatable, the others are fallbacks"},
    {0, "spread", NULL, PFK_OPT_FLAG, .offset = AT(spread),
	.help = "begin with each upstream in its turn"},
    {0, "proxy-in", NULL, PFK_OPT_FLAG, .offset = AT(in),
	.help = "clients send a header of the PROXY protocol"},
    {0, "proxy-out", NULL, PFK_OPT_FLAG, .offset = AT(out),
	.help = "send one to the upstream"},
    {0, "check-interval", "SECONDS", PFK_OPT_SECONDS, .offset = AT(interval_ns),
	.min = 1, .max = 86400,
	.help = "between two checks of an upstream (2)"},
    {0, "connect-timeout", "SECONDS", PFK_OPT_SECONDS, .offset = AT(timeout_ns),
	.min = 1, .max = 3600, .help = "of each attempt (3)"},
    {0},
};

static int
check(struct pfk_setup *s, char *err)
{
	if (((const struct config *)s->config)->upstreams.n > 0)
		return 0;
	snprintf(err, PFK_ERROR_SIZE, "--upstream HOST:PORT is missing");
	return -1;
}

static int
worker_init(struct pfk_worker *w, const struct pfk_setup *s)
{
	config = s->config;
	loop = pfk_worker_loop(w);
	for (int i = 0; i < config->upstreams.n; i++)
		probe(&health[i]);
	return 0;
}

static void
worker_leaving(struct pfk_worker *w, enum pfk_drain why, uint64_t until_ns,
    const struct pfk_setup *s)
{
	(void)w;
	(void)why;
	(void)until_ns;
	(void)s;
	for (int i = 0; i < config->upstreams.n; i++) {
		pfk_timer_cancel(&health[i].next);
		pfk_connect_cancel(&health[i].probe);
	}
}

int
main(int argc, char **argv)
{
	static const struct pfk_service services[] = {{.tcp = &client}, {0}};
	const struct config defaults = {.interval_ns = 2 * PFK_SECOND_NS,
	    .timeout_ns = 3 * PFK_SECOND_NS};
	const struct pfk_program program = {.version = "1.0",
	    .about = "A TCP proxy with fallbacks and health checks.",
	    .example = "-p 8080 --upstream 127.0.0.1:8000",
	    .services = services,
	    .port = 8080,
	    .options = options,
	    .config_bytes = sizeof(defaults),
	    .defaults = &defaults,
	    .check = check,
	    .worker_init = worker_init,
	    .worker_leaving = worker_leaving};

	/* With --sandbox on an upstream's host is an address. */
	pfk_sandbox_allow("socket");
	return pfk_main(&program, argc, argv);
}
