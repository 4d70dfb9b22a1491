/*
 * metrics.c: the state of a service for Prometheus, as its text format or
 * OpenMetrics.
 *
 * Layer: process.  A family's samples stand together, so that each is a loop over
 * the slots.  Slots that were given up keep their counters, so that no sum falls.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process/control.h"
#include "process/history.h"
#include "process/master.h"
#include "process/orders.h"
#include "process/report.h"
#include "process/rows.h"

struct page {
	FILE *f;
	bool open; /* OpenMetrics */
	const struct pfk__master *m;
	char service[2 * PFK_CONTROL_SIZE]; /* escaped */
	struct pfk__row *rows;
	int n;
};

/* The upper ends of a histogram's buckets: 2^N ns; 19, and +Inf. */
static const unsigned powers[] = {10, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
    22, 23, 24, 26, 28, 30, 32, 34};

static void
escape(char *dst, size_t size, const char *src)
{
	size_t n = 0;

	for (; *src != '\0' && n + 3 < size; src++) {
		if (*src == '"' || *src == '\\' || *src == '\n')
			dst[n++] = '\\';
		dst[n++] = *src == '\n' ? 'n' : *src;
	}
	dst[n] = '\0';
}

/* OpenMetrics has a counter's name without its suffix here. */
static void
family(const struct page *p, const char *name, const char *type,
    const char *help)
{
	size_t n = strlen(name);

	if (p->open && strcmp(type, "counter") == 0)
		n -= strlen("_total");
	fprintf(p->f, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)n, name, help,
	    (int)n, name, type);
}

static void
sample(const struct page *p, const char *name, double value)
{
	fprintf(p->f, "%s{service=\"%s\"} %.15g\n", name, p->service, value);
}

static void
gauge(const struct page *p, const char *name, const char *help, double value)
{
	family(p, name, "gauge", help);
	sample(p, name, value);
}

/* counters of the slots */

struct cause {
	const char *name; /* NULL: no label */
	enum pfk__count count;
};

static void
counters(const struct page *p, const char *name, const char *help,
    const struct cause *causes, size_t n)
{
	family(p, name, "counter", help);
	for (int i = 0; i < p->n; i++) {
		for (size_t k = 0; k < n; k++) {
			fprintf(p->f, "%s{service=\"%s\",slot=\"%d\"", name,
			    p->service, i);
			if (causes[k].name != NULL)
				fprintf(p->f, ",cause=\"%s\"", causes[k].name);
			fprintf(p->f, "} %llu\n",
			    (unsigned long long)p->rows[i]
				.sum.counts[causes[k].count]);
		}
	}
}

static void
counter(const struct page *p, const char *name, const char *help,
    enum pfk__count count)
{
	struct cause only = {NULL, count};

	counters(p, name, help, &only, 1);
}

static void
connection_counters(const struct page *p)
{
	static const struct cause closed[] = {{"peer", PFK__COUNT_CLOSED_PEER},
	    {"idle", PFK__COUNT_CLOSED_IDLE}, {"once", PFK__COUNT_CLOSED_ONCE},
	    {"limit", PFK__COUNT_CLOSED_LIMIT},
	    {"drain", PFK__COUNT_CLOSED_DRAIN},
	    {"error", PFK__COUNT_CLOSED_ERROR}};

	counter(p, "prefork_connections_accepted_total",
	    "Connections accepted.", PFK__COUNT_ACCEPTED);
	counters(p, "prefork_connections_closed_total",
	    "Connections that have ended, by cause.", closed,
	    sizeof(closed) / sizeof(closed[0]));
	counter(p, "prefork_connections_handed_over_total",
	    "Connections given to another process.", PFK__COUNT_HANDED_OVER);
	counter(p, "prefork_connections_resumed_total",
	    "Connections taken over from another process.", PFK__COUNT_RESUMED);
	counter(p, "prefork_connections_blamed_total",
	    "Connections closed because a worker died of their input.",
	    PFK__COUNT_BLAMED);
}

static void
traffic_counters(const struct page *p)
{
	static const struct cause dropped[] =
	    {{"send_buffer", PFK__COUNT_DROPPED_SEND_BUFFER},
		{"receive_buffer", PFK__COUNT_DROPPED_RECEIVE_BUFFER},
		{"error", PFK__COUNT_DROPPED_ERROR},
		{"loop_guard", PFK__COUNT_DROPPED_LOOP_GUARD},
		{"limit", PFK__COUNT_DROPPED_LIMIT}};

	counter(p, "prefork_messages_received_total",
	    "Reads of TCP that brought bytes.", PFK__COUNT_MESSAGES_IN);
	counter(p, "prefork_messages_sent_total",
	    "Writes of TCP that the kernel took bytes of.",
	    PFK__COUNT_MESSAGES_OUT);
	counter(p, "prefork_received_bytes_total", "Bytes received by TCP.",
	    PFK__COUNT_BYTES_IN);
	counter(p, "prefork_sent_bytes_total", "Bytes sent by TCP.",
	    PFK__COUNT_BYTES_OUT);
	counter(p, "prefork_datagrams_received_total", "Datagrams received.",
	    PFK__COUNT_DATAGRAMS_IN);
	counter(p, "prefork_datagrams_sent_total", "Datagrams sent.",
	    PFK__COUNT_DATAGRAMS_OUT);
	counter(p, "prefork_datagrams_received_bytes_total",
	    "Bytes received by UDP.", PFK__COUNT_DATAGRAM_BYTES_IN);
	counter(p, "prefork_datagrams_sent_bytes_total", "Bytes sent by UDP.",
	    PFK__COUNT_DATAGRAM_BYTES_OUT);
	counters(p, "prefork_dropped_total", "Datagrams lost, by cause.",
	    dropped, sizeof(dropped) / sizeof(dropped[0]));
}

static void
worker_counters(const struct page *p)
{
	static const struct cause restarts[] = {{"killed",
						    PFK__COUNT_RESTARTS_KILLED},
	    {"crashed", PFK__COUNT_RESTARTS_CRASHED},
	    {"hung", PFK__COUNT_RESTARTS_HUNG},
	    {"exited", PFK__COUNT_RESTARTS_EXITED},
	    {"left", PFK__COUNT_RESTARTS_LEFT}};

	counters(p, "prefork_restarts_total",
	    "Workers started in the place of one that has ended, by cause.",
	    restarts, sizeof(restarts) / sizeof(restarts[0]));
	counter(p, "prefork_adoptions_total",
	    "Listeners of other slots that a worker began to serve.",
	    PFK__COUNT_ADOPTIONS);
	family(p, "prefork_cpu_seconds_total", "counter",
	    "CPU time of the slot's workers.");
	for (int i = 0; i < p->n; i++)
		fprintf(p->f,
		    "prefork_cpu_seconds_total{service=\"%s\",slot=\"%d\"} "
		    "%.6f\n",
		    p->service, i,
		    (double)p->rows[i].sum.counts[PFK__COUNT_CPU_NS] / 1e9);
}

/* gauges of the slots */

static void
slot_gauge(const struct page *p, const char *name, int slot, double value)
{
	fprintf(p->f, "%s{service=\"%s\",slot=\"%d\"} %.15g\n", name,
	    p->service, slot, value);
}

static void
slot_gauges(const struct page *p)
{
	family(p, "prefork_connections", "gauge", "Connections open now.");
	for (int i = 0; i < p->n; i++)
		slot_gauge(p, "prefork_connections", i,
		    (double)p->rows[i].sum.connections);
	family(p, "prefork_accept_queue", "gauge",
	    "Connections that wait to be accepted.");
	for (int i = 0; i < p->n; i++) {
		if (p->rows[i].has_queue)
			slot_gauge(p, "prefork_accept_queue", i,
			    p->rows[i].queue);
	}
	family(p, "prefork_accept_queue_limit", "gauge",
	    "Connections that can wait to be accepted.");
	for (int i = 0; i < p->n; i++) {
		if (p->rows[i].has_queue)
			slot_gauge(p, "prefork_accept_queue_limit", i,
			    p->rows[i].queue_max);
	}
}

/* histograms */

static void
histogram_of_slot(const struct page *p, const char *name, int slot,
    const struct pfk__histogram *h)
{
	unsigned long long count = pfk__histogram_count(h);

	for (size_t k = 0; k < sizeof(powers) / sizeof(powers[0]); k++)
		fprintf(p->f,
		    "%s_bucket{service=\"%s\",slot=\"%d\",le=\"%.9g\"} %llu\n",
		    name, p->service, slot,
		    (double)(UINT64_C(1) << powers[k]) / 1e9,
		    (unsigned long long)pfk__histogram_below(h, powers[k]));
	fprintf(p->f,
	    "%s_bucket{service=\"%s\",slot=\"%d\",le=\"+Inf\"} %llu\n"
	    "%s_sum{service=\"%s\",slot=\"%d\"} %.9f\n"
	    "%s_count{service=\"%s\",slot=\"%d\"} %llu\n",
	    name, p->service, slot, count, name, p->service, slot,
	    (double)h->sum_ns / 1e9, name, p->service, slot, count);
}

static void
histograms(const struct page *p)
{
	static const struct {
		const char *name, *help;
	} table[] = {[PFK__TIME_TURN] = {"prefork_loop_turn_seconds",
			 "A turn of a worker's loop, without its wait."},
	    [PFK__TIME_FIRST_BYTE] = {"prefork_first_byte_seconds",
		"From the accept of a connection to its first byte."},
	    [PFK__TIME_RESPONSE] = {"prefork_response_seconds",
		"From a receive to the send of the answer; sampled."}};

	for (int t = 0; t < PFK__TIME_END; t++) {
		family(p, table[t].name, "histogram", table[t].help);
		for (int i = 0; i < p->n; i++)
			histogram_of_slot(p, table[t].name, i,
			    &p->rows[i].sum.times[t]);
	}
}

static void
own_metrics(const struct page *p)
{
	static const char *const types[] = {[PFK_COUNTER] = "counter",
	    [PFK_GAUGE] = "gauge",
	    [PFK_TIMES] = "histogram"};
	int n;
	const struct pfk__metric *own = pfk__metrics(&n);
	char help[2 * sizeof(own->help)];

	for (int k = 0; k < n; k++) {
		escape(help, sizeof(help), own[k].help);
		family(p, own[k].name, types[own[k].kind], help);
		for (int i = 0; i < p->n; i++) {
			const struct pfk__stats *s = &p->rows[i].sum;

			if (own[k].kind == PFK_TIMES)
				histogram_of_slot(p, own[k].name, i,
				    &s->own_times[own[k].index]);
			else
				slot_gauge(p, own[k].name, i,
				    (double)s->own[own[k].index]);
		}
	}
}

/* the service */

static void
service(const struct page *p)
{
	const struct pfk__master *m = p->m;
	const struct pfk__control_socket *k = m->control;
	char version[100];

	escape(version, sizeof(version), pfk__report_version(m));
	gauge(p, "prefork_up", "1 while the master answers.", 1);
	family(p, "prefork_build_info", "gauge",
	    "The versions of program and library.");
	fprintf(p->f,
	    "prefork_build_info{service=\"%s\",program=\"%s\",version=\"%s\","
	    "library=\"%s\"} 1\n",
	    p->service, getprogname(), version, PFK_VERSION);
	gauge(p, "prefork_start_time_seconds",
	    "When the service has started, since 1970.", (double)k->started);
	gauge(p, "prefork_workers", "Workers that are wanted.", m->workers);
	gauge(p, "prefork_workers_serving", "Workers that serve.",
	    pfk__report_serving(m));
	gauge(p, "prefork_ready",
	    "1 while it serves: it neither starts nor stops.",
	    m->started && !pfk__orders_stopping(m));
	gauge(p, "prefork_config_generation",
	    "How often the configuration was replaced.", (double)m->epoch);
	gauge(p, "prefork_config_outdated",
	    "1 where the configuration file was written since it was read.",
	    pfk__report_is_outdated(m));
	gauge(p, "prefork_last_reload_successful",
	    "0 where the last reload has failed.",
	    k->reload.running || k->reload.status == 0);
	family(p, "prefork_reloads_total", "counter", "Reloads begun.");
	sample(p, "prefork_reloads_total", (double)pfk__history_reloads(m));
}

void
pfk__report_metrics(FILE *f, const struct pfk__master *m, bool open)
{
	struct page p = {.f = f, .open = open, .m = m, .n = m->places_top};

	p.rows = calloc((size_t)p.n + 1, sizeof(*p.rows));
	if (p.rows == NULL)
		p.n = 0;
	for (int i = 0; i < p.n; i++)
		pfk__row_make(&p.rows[i], m, i);
	escape(p.service, sizeof(p.service), m->control->instance.name);
	service(&p);
	slot_gauges(&p);
	connection_counters(&p);
	traffic_counters(&p);
	worker_counters(&p);
	histograms(&p);
	own_metrics(&p);
	if (open)
		fputs("# EOF\n", f);
	free(p.rows);
}
