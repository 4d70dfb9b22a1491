/*
 * guard.c: datagrams that must not be answered.
 *
 * In a loop each server sends back the datagram of the other server, so that
 * the same bytes come from the same source again and again, each time because
 * they were answered.  An unanswered datagram is therefore missing in the loop,
 * while a client that sends the same bytes at its own pace goes on.  The server
 * cannot see the difference before it leaves some unanswered.  So it does that
 * with one datagram in 100 of those that repeat, and with fewer and fewer while
 * they go on: a loop of one datagram ends at once, one of N loses all of them,
 * and of a client's soon less than one in 1,000 is missing.
 */
#include "guard.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "digest.h"
#include "tally.h"

/* So many a second are never a loop that matters. */
#define REPEATS 100
/* After how many repeats one is dropped: at first, more each time, at last. */
#define GAP_FIRST 100
#define GAP_STEP 10
#define GAP_LAST 10000

/* The first report waits for this time, so that it counts more of them. */
#define FIRST_NS PFK_SECOND_NS
#define EVERY_NS (60 * PFK_SECOND_NS)

enum { FORGED, REPEATED, TOO_MANY, REASONS };

struct count {
	uint64_t n, logged;
	struct pfk_addr last;
};

struct guard {
	struct pfk_loop *loop;
	struct guard_options o;
	struct digest_seed seed;
	struct count counts[REASONS];
	uint64_t logged_ns; /* 0: never */
	struct pfk_timer *report;
	/* By digest_ends; those that repeat, by digest_all. */
	struct tally ends, all;
	struct tally sources, networks;
};

/* Services that answer any datagram, or amplify; no port is higher. */
#define CHATTY_MAX 11211
static const uint16_t chatty[] = {7, 9, 11, 13, 17, 19, 37, 53, 69, 123, 138,
    161, 389, 1900, 3702, 5353, CHATTY_MAX};

static bool
contains(const uint16_t *ports, size_t n, uint16_t port)
{
	for (size_t i = 0; i < n; i++) {
		if (ports[i] == port)
			return true;
	}
	return false;
}

static bool
is_single_host(const struct pfk_addr *a)
{
	in_addr_t in4;

	if (a->sa.sa_family == AF_INET6)
		return !IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr) &&
		    !IN6_IS_ADDR_MULTICAST(&a->in6.sin6_addr);
	in4 = ntohl(a->in4.sin_addr.s_addr);
	return in4 >> 24 != 0 && !IN_MULTICAST(in4) && in4 != INADDR_BROADCAST;
}

/* Why p can start a loop, or NULL. */
static const char *
looks_forged(const struct guard *g, const struct pfk_packet *p)
{
	uint16_t port = pfk_addr_port(p->from);

	if (port == 0)
		return "source port 0";
	if (contains(g->o.own, g->o.n_own, port))
		return "source port is one of our own";
	if (port <= CHATTY_MAX &&
	    contains(chatty, sizeof(chatty) / sizeof(chatty[0]), port))
		return "source port of a service that answers";
	if (!is_single_host(p->from))
		return "source is not a single host";
	if (!p->unicast || !is_single_host(p->to))
		return "sent to a multicast or broadcast address";
	return NULL;
}

/* Whether it is this repeat's turn to be dropped. */
static bool
is_due(struct tally_slot *s)
{
	if (s->left > 1) {
		s->left--;
		return false;
	}
	if (s->gap == 0)
		s->gap = GAP_FIRST;
	else if (s->gap < GAP_LAST)
		s->gap += GAP_STEP;
	s->left = s->gap;
	return true;
}

/* Most payloads differ at an end; so few are looked at in full. */
static bool
is_loop(struct guard *g, const struct pfk_packet *p, uint64_t now)
{
	struct tally_slot *s = tally_count(&g->ends, digest_ends(&g->seed, p),
	    now, REPEATS);

	if (s == NULL || (s->n <= REPEATS && s->gap == 0))
		return false;
	s->gap = 1;
	s = tally_count(&g->all, digest_all(&g->seed, p), now, REPEATS);
	if (s == NULL || (s->n <= REPEATS && s->gap == 0))
		return false;
	return is_due(s);
}

static bool
is_over(struct tally *t, uint64_t key, uint64_t now, int limit)
{
	struct tally_slot *s = tally_count(t, key, now, 0);

	return s != NULL && s->n > (uint32_t)limit;
}

static bool
is_too_many(struct guard *g, const struct pfk_packet *p, uint64_t now)
{
	int source = g->o.per_source, network = g->o.per_network;

	return (source > 0 &&
		   is_over(&g->sources, digest_source(&g->seed, p->from), now,
		       source)) ||
	    (network > 0 &&
		is_over(&g->networks, digest_network(&g->seed, p->from), now,
		    network));
}

/* the log */

static void
report(struct guard *g)
{
	struct count *c = g->counts;
	char name[PFK_ADDR_SIZE];

	g->logged_ns = pfk_loop_now(g->loop);
	for (; c < g->counts + REASONS; c++) {
		unsigned long long n = c->n - c->logged;
		const char *s = n == 1 ? "" : "s";

		if (n == 0)
			continue;
		c->logged = c->n;
		pfk_addr_format(name, &c->last);
		if (c == &g->counts[FORGED])
			pfk_log(PFK_WARNING,
			    "loop guard: refused %llu datagram%s, %llu in all",
			    n, s, (unsigned long long)c->n);
		else if (c == &g->counts[REPEATED])
			pfk_log(PFK_WARNING,
			    "loop guard: dropped %llu datagram%s, the last "
			    "from %s, because the same bytes came from there "
			    "over %d times a second, as in a loop of two "
			    "servers; --loop-guard off answers a client",
			    n, s, name, REPEATS);
		else
			pfk_log(PFK_WARNING,
			    "udp-rate: dropped %llu datagram%s, the last from "
			    "%s, because a source sent over %d or a network "
			    "over %d a second; raise --udp-rate for a client",
			    n, s, name, g->o.per_source, g->o.per_network);
	}
}

static void
on_report(void *arg)
{
	report(arg);
}

static void
count(struct guard *g, int reason, const struct pfk_packet *p, const char *why)
{
	uint64_t now = pfk_loop_now(g->loop), wait = FIRST_NS;
	struct count *c = &g->counts[reason];
	char name[PFK_ADDR_SIZE];

	pfk_count_dropped(g->loop,
	    reason == TOO_MANY ? PFK_DROPPED_LIMIT : PFK_DROPPED_LOOP_GUARD, 1);
	c->last = *p->from;
	if (c->n++ == 0 && why != NULL) {
		pfk_log(PFK_WARNING,
		    "loop guard: refused 1 datagram from %s: %s",
		    pfk_addr_format(name, p->from), why);
		c->logged = 1;
		return;
	}
	if (g->report != NULL)
		return;
	if (g->logged_ns != 0 && g->logged_ns + EVERY_NS > now + wait)
		wait = g->logged_ns + EVERY_NS - now;
	pfk_timer_set(&g->report, g->loop, wait, on_report, g);
}

/* the guard */

struct guard *
guard_new(struct pfk_loop *l, const struct guard_options *o)
{
	struct guard *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return NULL;
	g->loop = l;
	g->o = *o;
	arc4random_buf(&g->seed, sizeof(g->seed));
	return g;
}

bool
guard_refuses(struct guard *g, const struct pfk_packet *p)
{
	uint64_t now = pfk_loop_now(g->loop);
	const char *why = g->o.loops ? looks_forged(g, p) : NULL;

	if (why != NULL)
		count(g, FORGED, p, why);
	else if (is_too_many(g, p, now))
		count(g, TOO_MANY, p, NULL);
	else if (g->o.loops && is_loop(g, p, now))
		count(g, REPEATED, p, NULL);
	else
		return false;
	return true;
}

void
guard_free(struct guard *g)
{
	if (g == NULL)
		return;
	report(g);
	pfk_timer_cancel(&g->report);
	free(g);
}
