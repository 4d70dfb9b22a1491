/*
 * report_json.c: the state of a service as JSON.
 *
 * Layer: process.
 */
#include "process/report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "net/listener.h"
#include "process/control.h"
#include "process/master.h"
#include "process/rows.h"

static void
json_service(struct pfk__json *j, const struct pfk__master *m)
{
	const struct pfk__control_socket *k = m->control;

	pfk__json_int(j, "protocol", PFK__CONTROL_VERSION);
	pfk__json_string(j, "name", k->instance.name);
	pfk__json_string(j, "program", getprogname());
	pfk__json_string(j, "version", pfk__report_version(m));
	pfk__json_string(j, "library", PFK_VERSION);
	pfk__json_int(j, "pid", getpid());
	pfk__json_string(j, "state", pfk__report_state(m));
	pfk__json_seconds(j, "uptime_seconds",
	    pfk__report_since(m, k->started_ns));
	pfk__json_int(j, "workers", m->workers);
	pfk__json_int(j, "workers_configured", m->config.workers);
	pfk__json_int(j, "workers_serving", pfk__report_serving(m));
	pfk__json_int(j, "workers_stalled", pfk__report_stalled(m));
	pfk__json_int(j, "generation", (long long)m->epoch);
	pfk__json_string(j, "log_level", pfk__report_level());
	pfk__json_open(j, "configuration", '{');
	pfk__json_string(j, "file", m->config.config_file);
	pfk__report_time(j, "read_at", k->configured);
	pfk__json_seconds(j, "read_seconds_ago",
	    pfk__report_since(m, k->configured_ns));
	pfk__json_bool(j, "changed_since", pfk__report_is_outdated(m));
	pfk__json_close(j, '}');
}

static void
json_reload(struct pfk__json *j, const struct pfk__master *m)
{
	const struct pfk__reload_note *r = &m->control->reload;

	pfk__json_open(j, "last_reload", '{');
	pfk__json_string(j, "result", pfk__report_reload(r));
	if (r->begun > 0) {
		pfk__report_time(j, "at", r->at);
		pfk__json_seconds(j, "seconds_ago",
		    pfk__report_since(m, r->at_ns));
	} else {
		pfk__json_null(j, "at");
		pfk__json_null(j, "seconds_ago");
	}
	pfk__json_string(j, "text", r->text);
	pfk__json_string(j, "changes", r->changes);
	pfk__json_close(j, '}');
}

static void
json_listeners(struct pfk__json *j, const struct pfk__master *m)
{
	const struct pfk__lent *l = pfk__custody_first(&m->custody, 0);
	char name[PFK_ADDR_SIZE];

	pfk__json_open(j, "listeners", '[');
	for (; l != NULL; l = pfk__custody_next(l)) {
		pfk__json_open(j, NULL, '{');
		pfk__json_string(j, "kind", pfk__kind_name(l->kind));
		pfk__json_string(j, "address",
		    pfk_addr_format(name, &l->bound));
		pfk__json_close(j, '}');
	}
	pfk__json_close(j, ']');
}

/* Counters since the start of the service; those of a slot or of all. */
static void
json_counts(struct pfk__json *j, const struct pfk__stats *s)
{
	static const struct {
		const char *key;
		enum pfk__count count;
	} table[] = {{"accepted", PFK__COUNT_ACCEPTED},
	    {"handed_over", PFK__COUNT_HANDED_OVER},
	    {"resumed", PFK__COUNT_RESUMED},
	    {"messages_received", PFK__COUNT_MESSAGES_IN},
	    {"messages_sent", PFK__COUNT_MESSAGES_OUT},
	    {"bytes_received", PFK__COUNT_BYTES_IN},
	    {"bytes_sent", PFK__COUNT_BYTES_OUT},
	    {"datagrams_received", PFK__COUNT_DATAGRAMS_IN},
	    {"datagrams_sent", PFK__COUNT_DATAGRAMS_OUT}};

	pfk__json_int(j, "connections", (long long)s->connections);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		pfk__json_int(j, table[i].key,
		    (long long)s->counts[table[i].count]);
}

static void
json_own(struct pfk__json *j, const struct pfk__stats *s)
{
	int n;
	const struct pfk__metric *own = pfk__metrics(&n);

	pfk__json_open(j, "metrics", '{');
	for (int i = 0; i < n; i++) {
		const struct pfk__histogram *h = &s->own_times[own[i].index];

		if (own[i].kind != PFK_TIMES) {
			pfk__json_int(j, own[i].name,
			    (long long)s->own[own[i].index]);
			continue;
		}
		pfk__json_open(j, own[i].name, '{');
		pfk__json_int(j, "count", (long long)pfk__histogram_count(h));
		pfk__json_number(j, "p50",
		    (double)pfk__histogram_quantile(h, 0.5) / 1e9);
		pfk__json_number(j, "p99",
		    (double)pfk__histogram_quantile(h, 0.99) / 1e9);
		pfk__json_close(j, '}');
	}
	pfk__json_close(j, '}');
}

static void
json_worker(struct pfk__json *j, const struct pfk__master *m,
    const struct pfk__row *r)
{
	const struct pfk__child *c = r->worker;

	if (c != NULL) {
		pfk__json_int(j, "pid", pfk__child_pid(c));
		pfk__json_seconds(j, "age_seconds",
		    pfk__report_since(m, c->started_ns));
		pfk__json_int(j, "generation", (long long)c->epoch);
	} else {
		pfk__json_null(j, "pid");
		pfk__json_null(j, "age_seconds");
		pfk__json_null(j, "generation");
	}
	if (pfk__row_keeper(r) != 0)
		pfk__json_int(j, "keeper", pfk__row_keeper(r));
	else
		pfk__json_null(j, "keeper");
}

static void
json_slot(struct pfk__json *j, const struct pfk__master *m,
    const struct pfk__row *r)
{
	const struct pfk__histogram *turn = &r->sum.times[PFK__TIME_TURN];

	pfk__json_open(j, NULL, '{');
	pfk__json_int(j, "slot", r->slot);
	pfk__json_string(j, "state", pfk__row_state(r));
	json_worker(j, m, r);
	json_counts(j, &r->sum);
	json_own(j, &r->sum);
	pfk__json_number(j, "loop_turn_p50_seconds",
	    (double)pfk__histogram_quantile(turn, 0.5) / 1e9);
	pfk__json_number(j, "loop_turn_p99_seconds",
	    (double)pfk__histogram_quantile(turn, 0.99) / 1e9);
	pfk__json_seconds(j, "cpu_share", r->cpu);
	pfk__json_int(j, "restarts", r->place->restarts);
	if (r->has_queue) {
		pfk__json_int(j, "accept_queue", r->queue);
		pfk__json_int(j, "accept_queue_max", r->queue_max);
	} else {
		pfk__json_null(j, "accept_queue");
		pfk__json_null(j, "accept_queue_max");
	}
	if (r->place->adopter != NULL)
		pfk__json_int(j, "served_by", r->place->adopter->slot);
	else
		pfk__json_null(j, "served_by");
	pfk__json_close(j, '}');
}

static void
json_slots(struct pfk__json *j, const struct pfk__master *m)
{
	struct pfk__stats all = {0};
	struct pfk__row r;

	pfk__json_open(j, "slots", '[');
	for (int i = 0; i < m->places_top; i++) {
		pfk__row_make(&r, m, i);
		if (pfk__row_is_shown(m, &r))
			json_slot(j, m, &r);
		pfk__stats_add(&all, &r.sum);
		all.connections += r.sum.connections;
	}
	pfk__json_close(j, ']');
	pfk__json_open(j, "totals", '{');
	json_counts(j, &all);
	pfk__json_close(j, '}');
}

/* Workers that a successor has replaced, or that no slot is left for. */
static void
json_leaving(struct pfk__json *j, const struct pfk__master *m)
{
	const struct pfk__child *c;

	pfk__json_open(j, "leaving", '[');
	LIST_FOREACH(c, &m->children, link) {
		if (c->phase != PFK__PHASE_LEAVING)
			continue;
		pfk__json_open(j, NULL, '{');
		pfk__json_int(j, "slot", c->slot);
		pfk__json_int(j, "pid", pfk__child_pid(c));
		pfk__json_seconds(j, "age_seconds",
		    pfk__report_since(m, c->started_ns));
		pfk__json_close(j, '}');
	}
	pfk__json_close(j, ']');
}

void
pfk__report_json(FILE *f, const struct pfk__master *m)
{
	struct pfk__json j = {.f = f};

	pfk__json_open(&j, NULL, '{');
	json_service(&j, m);
	json_reload(&j, m);
	json_listeners(&j, m);
	json_slots(&j, m);
	json_leaving(&j, m);
	pfk__deaths_json(&j, m);
	pfk__json_close(&j, '}');
	putc('\n', f);
}
