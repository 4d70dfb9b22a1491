/*
 * probe.c: a message to each target, again and again.
 *
 * Each message is a probe with a connection or socket of its own, so that a name is
 * looked up again and a lost one holds up no other.
 */
#include "probe.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sysexits.h>

#include "check.h"

#define DEFAULT_PORT 8888
#define MESSAGE 64

struct prober;

struct probe {
	LIST_ENTRY(probe) link;
	struct prober *prober;
	struct target *target;
	struct pfk_connector *connector;
	struct pfk_transport *tr;
	struct pfk_datagram *d;
	struct pfk_timer *timeout;
	enum probe_family family;
	uint64_t sent_ns;
	size_t got;
	bool over;   /* counted */
	bool ending; /* connection_lost comes, and frees it */
	unsigned char message[MESSAGE];
};

struct prober {
	struct pfk_loop *loop;
	struct options *o;
	struct pfk_timer *next;
	LIST_HEAD(, probe) probes;
};

/* targets */

int
probe_parse(void *targets, const char *value, bool first, const char **errstr)
{
	struct targets *t = targets;
	struct target n = {.port = DEFAULT_PORT}, *larger;
	char text[PFK_HOST_SIZE + 64], *slash;

	if (first)
		probe_free(t);
	if (strlcpy(text, value, sizeof(text)) >= sizeof(text)) {
		*errstr = "it is too long for a host";
		return -1;
	}
	slash = strrchr(text, '/');
	if (slash != NULL) {
		n.udp = strcmp(slash, "/udp") == 0;
		if (!n.udp && strcmp(slash, "/tcp") != 0) {
			*errstr = "only /udp or /tcp can follow the host";
			return -1;
		}
		*slash = '\0';
	}
	if (pfk_host_split(text, n.host, &n.port, errstr) == -1)
		return -1;
	if (n.port == 0) {
		*errstr = "a port is 1 to 65535";
		return -1;
	}
	snprintf(n.text, sizeof(n.text),
	    strchr(n.host, ':') != NULL ? "[%s]:%u" : "%s:%u", n.host,
	    (unsigned)n.port);
	larger = reallocarray(t->list, t->n + 1, sizeof(*larger));
	if (larger == NULL) {
		*errstr = "out of memory";
		return -1;
	}
	t->list = larger;
	t->list[t->n++] = n;
	return 0;
}

bool
probe_format(const void *targets, int i, char *buf, size_t size)
{
	const struct targets *t = targets;

	if ((size_t)i >= t->n)
		return false;
	snprintf(buf, size, "%s/%s", t->list[i].text,
	    t->list[i].udp ? "udp" : "tcp");
	return true;
}

void
probe_free(struct targets *t)
{
	free(t->list);
	*t = (struct targets){0};
}

/* one probe */

static struct probe_counts *
counts_of(struct probe *p)
{
	return &p->target->counts[p->family];
}

static void
probe_delete(struct probe *p)
{
	LIST_REMOVE(p, link);
	pfk_timer_cancel(&p->timeout);
	pfk_connect_cancel(&p->connector);
	free(p);
}

/* p is freed now, or by connection_lost. */
static void
end(struct probe *p)
{
	if (p->ending)
		return;
	pfk_timer_cancel(&p->timeout);
	p->ending = p->tr != NULL || p->d != NULL;
	if (p->tr != NULL)
		pfk_abort(p->tr);
	else if (p->d != NULL)
		pfk_datagram_close(&p->d);
	else
		probe_delete(p);
}

static void
lose(struct probe *p, enum fault cause)
{
	if (p->over)
		return;
	p->over = true;
	if (p->sent_ns == 0)
		counts_of(p)->sent++;
	counts_of(p)->lost[cause]++;
}

static void
succeed(struct probe *p)
{
	uint64_t ns = pfk_loop_now(p->prober->loop) - p->sent_ns;
	int i = 0;

	p->over = true;
	while (i < PROBE_BUCKETS && ns > UINT64_C(1) << (PROBE_FIRST_POWER + i))
		i++;
	counts_of(p)->buckets[i]++;
	counts_of(p)->sum_ns += ns;
}

static void
on_timeout(void *arg)
{
	struct probe *p = arg;

	lose(p, FAULT_TIMEOUT);
	end(p);
}

static void
on_failed(void *arg, int error, const char *causes)
{
	struct probe *p = arg;

	(void)causes;
	p->connector = NULL;
	lose(p, fault_of(error));
	probe_delete(p);
}

static void
sending(struct probe *p, const struct pfk_addr *peer)
{
	if (peer != NULL)
		p->family = peer->sa.sa_family == AF_INET ? PROBE_IPV4
							  : PROBE_IPV6;
	p->connector = NULL;
	p->sent_ns = pfk_loop_now(p->prober->loop);
	counts_of(p)->sent++;
}

static void
received(struct probe *p, const void *buf, size_t len)
{
	if (p->over)
		return;
	if (len > MESSAGE - p->got ||
	    memcmp(p->message + p->got, buf, len) != 0)
		lose(p, FAULT_MISMATCH);
	p->got += len;
	if (!p->over && p->got == MESSAGE)
		succeed(p);
	if (p->over)
		end(p);
}

/* TCP */

static void *
tcp_made(struct pfk_transport *tr, void *arg)
{
	struct probe *p = arg;

	p->tr = tr;
	sending(p, pfk_peername(tr));
	pfk_write(tr, p->message, MESSAGE);
	return p;
}

static void
tcp_received(void *self, const void *buf, size_t len)
{
	received(self, buf, len);
}

static bool
tcp_eof(void *self)
{
	lose(self, FAULT_SHORT);
	return false;
}

static void
tcp_lost(void *self, int error)
{
	struct probe *p = self;

	lose(p, fault_of(error));
	p->tr = NULL;
	probe_delete(p);
}

/* UDP */

static void *
udp_made(struct pfk_datagram *d, void *arg)
{
	struct probe *p = arg;
	struct pfk_addr peer;

	p->d = d;
	sending(p, pfk_datagram_peername(d, &peer) == 0 ? &peer : NULL);
	pfk_sendto(d, p->message, MESSAGE, NULL, NULL);
	return p;
}

static void
udp_received(void *self, const struct pfk_packet *packet)
{
	struct probe *p = self;

	if (!p->over && packet->len != MESSAGE) {
		lose(p, FAULT_SHORT);
		end(p);
	} else {
		received(p, packet->buf, packet->len);
	}
}

static void
udp_error(void *self, int error)
{
	struct probe *p = self;

	if (p->over)
		return;
	lose(p, fault_of(error));
	end(p);
}

static void
udp_lost(void *self, int error)
{
	struct probe *p = self;

	lose(p, fault_of(error));
	p->d = NULL;
	probe_delete(p);
}

/* all of them */

static void
probe(struct prober *r, struct target *t)
{
	static const struct pfk_protocol tcp = {.connection_made = tcp_made,
	    .data_received = tcp_received,
	    .eof_received = tcp_eof,
	    .connection_lost = tcp_lost};
	static const struct pfk_datagram_protocol udp =
	    {.connection_made = udp_made,
		.datagram_received = udp_received,
		.error_received = udp_error,
		.connection_lost = udp_lost};
	struct pfk_connect_options options = {.host = t->host,
	    .port = t->port,
	    .family = r->o->ipv4 ? AF_INET
		: r->o->ipv6     ? AF_INET6
				 : AF_UNSPEC};
	struct probe *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return;
	p->prober = r;
	p->target = t;
	LIST_INSERT_HEAD(&r->probes, p, link);
	arc4random_buf(p->message, MESSAGE);
	if (pfk_timer_set(&p->timeout, r->loop, r->o->timeout_ns, on_timeout,
		p) == 0)
		p->connector = t->udp
		    ? pfk_datagram_connect(r->loop, &options, &udp, p,
			  on_failed)
		    : pfk_connect(r->loop, &options, &tcp, p, on_failed);
	if (p->connector == NULL) {
		lose(p, FAULT_OTHER);
		probe_delete(p);
	}
}

static void
on_next(void *arg)
{
	struct prober *r = arg;

	pfk_timer_set(&r->next, r->loop, r->o->interval_ns, on_next, r);
	for (size_t i = 0; i < r->o->targets.n; i++)
		probe(r, &r->o->targets.list[i]);
}

static void
on_stop(void *arg, int signo)
{
	(void)signo;
	pfk_loop_stop(arg);
}

static void
tear_down(struct prober *r)
{
	struct probe *p, *next;

	pfk_timer_cancel(&r->next);
	for (p = LIST_FIRST(&r->probes); p != NULL; p = next) {
		next = LIST_NEXT(p, link);
		p->over = true;
		end(p);
	}
	serve_close();
	pfk_loop_drain(r->loop, PFK_DRAIN_NOW);
	pfk_loop_run(r->loop);
	pfk_loop_free(r->loop);
}

int
probe_run(struct options *o)
{
	struct prober r = {.o = o};
	struct pfk_signal *stop, *interrupt;
	int status = 2;

	LIST_INIT(&r.probes);
	r.loop = pfk_loop_new(NULL);
	if (r.loop == NULL) {
		pfk_complain("cannot create the event loop: %s",
		    strerror(errno));
		return status;
	}
	signal(SIGPIPE, SIG_IGN);
	stop = pfk_signal_add(r.loop, SIGTERM, on_stop, r.loop);
	interrupt = pfk_signal_add(r.loop, SIGINT, on_stop, r.loop);
	if (stop == NULL || interrupt == NULL) {
		pfk_complain("cannot watch for signals: %s", strerror(errno));
	} else if (serve_open(r.loop, o->serve, &o->targets) == 0) {
		on_next(&r);
		status = pfk_loop_run(r.loop) == 0 ? 0 : 2;
	}
	pfk_signal_cancel(&stop);
	pfk_signal_cancel(&interrupt);
	tear_down(&r);
	return status;
}

/* metrics */

static void
labels(FILE *f, const struct target *t, int family)
{
	static const char *const names[] = {"unknown", "ipv4", "ipv6"};

	fprintf(f, "{target=\"%s\",protocol=\"%s\",family=\"%s\"", t->text,
	    t->udp ? "udp" : "tcp", names[family]);
}

static void
print_rtt(FILE *f, const struct target *t, int family)
{
	const struct probe_counts *c = &t->counts[family];
	uint64_t all = 0;

	for (int i = 0; i <= PROBE_BUCKETS; i++) {
		all += c->buckets[i];
		fputs("prefork_probe_rtt_seconds_bucket", f);
		labels(f, t, family);
		if (i < PROBE_BUCKETS)
			fprintf(f, ",le=\"%.9g\"} %llu\n",
			    (double)(UINT64_C(1) << (PROBE_FIRST_POWER + i)) /
				1e9,
			    (unsigned long long)all);
		else
			fprintf(f, ",le=\"+Inf\"} %llu\n",
			    (unsigned long long)all);
	}
	fputs("prefork_probe_rtt_seconds_sum", f);
	labels(f, t, family);
	fprintf(f, "} %.9f\nprefork_probe_rtt_seconds_count",
	    (double)c->sum_ns / 1e9);
	labels(f, t, family);
	fprintf(f, "} %llu\n", (unsigned long long)all);
}

static void
print_sent(FILE *f, const struct target *t, int family)
{
	fputs("prefork_probe_sent_total", f);
	labels(f, t, family);
	fprintf(f, "} %llu\n", (unsigned long long)t->counts[family].sent);
}

static void
print_lost(FILE *f, const struct target *t, int family)
{
	for (int i = 0; i < LOSSES; i++) {
		fputs("prefork_probe_lost_total", f);
		labels(f, t, family);
		fprintf(f, ",cause=\"%s\"} %llu\n", fault_names[i],
		    (unsigned long long)t->counts[family].lost[i]);
	}
}

void
probe_print(FILE *f, const struct targets *t)
{
	static const struct {
		const char *head;
		void (*print)(FILE *, const struct target *, int);
	} families[] = {{"# HELP prefork_probe_sent_total Messages sent.\n"
			 "# TYPE prefork_probe_sent_total counter\n",
			    print_sent},
	    {"# HELP prefork_probe_lost_total Messages without a good answer, "
	     "by cause.\n# TYPE prefork_probe_lost_total counter\n",
		print_lost},
	    {"# HELP prefork_probe_rtt_seconds From a message to its answer.\n"
	     "# TYPE prefork_probe_rtt_seconds histogram\n",
		print_rtt}};

	for (size_t k = 0; k < sizeof(families) / sizeof(families[0]); k++) {
		fputs(families[k].head, f);
		for (size_t i = 0; i < t->n; i++) {
			for (int n = 0; n < PROBE_FAMILIES; n++) {
				if (t->list[i].counts[n].sent > 0)
					families[k].print(f, &t->list[i], n);
			}
		}
	}
}
