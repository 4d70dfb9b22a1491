/*
 * report.c: the state of a service for prefork-ctl, as text and as JSON.
 *
 * Layer: process.
 */
#include "process/report.h"

#include <netinet/tcp.h>
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

/* what there is */

struct row {
	int slot;
	const struct pfk__place *place;
	bool has_queue;
	unsigned queue, queue_max;
};

double
pfk__report_since(const struct pfk__master *m, uint64_t ns)
{
	uint64_t now = pfk_loop_now(m->loop);

	return now > ns ? (double)(now - ns) / 1e9 : 0;
}

static const char *
state_of_service(const struct pfk__master *m)
{
	if (m->stop != PFK__STOP_NONE)
		return "stopping";
	if (!m->started)
		return "starting";
	return m->reload != PFK__RELOAD_SETTLED ? "reloading" : "running";
}

static const char *
state_of_slot(const struct pfk__place *p)
{
	static const char *const names[] = {[PFK__SLOT_EMPTY] = "empty",
	    [PFK__SLOT_STARTING] = "starting",
	    [PFK__SLOT_SERVING] = "serving",
	    [PFK__SLOT_REPLACING] = "replacing",
	    [PFK__SLOT_BACKOFF] = "backoff"};

	return p->stall.stalled && p->serving != NULL ? "stalled"
						      : names[p->slot.state];
}

static const char *
result_of_reload(const struct pfk__reload_note *r)
{
	if (r->begun == 0)
		return "none";
	if (r->running)
		return "running";
	return r->status == EX_OK    ? "ok"
	    : r->status == EX_CONFIG ? "refused"
				     : "failed";
}

static const char *
level_name(void)
{
	static const char *const names[] = {[PFK_ERROR] = "error",
	    [PFK_WARNING] = "warning",
	    [PFK_INFO] = "info",
	    [PFK_DEBUG] = "debug"};

	return names[pfk__log_level()];
}

static const char *
version_of(const struct pfk__master *m)
{
	return m->config.version != NULL ? m->config.version : PFK_VERSION;
}

/* The file may have been written since it was read. */
static bool
is_outdated(const struct pfk__master *m)
{
	struct stat st;

	return m->config.config_file != NULL &&
	    stat(m->config.config_file, &st) == 0 &&
	    st.st_mtime > m->control->configured;
}

/* A listener's queue: tcp(7) has it in fields that mean more on others. */
static bool
queue_of(const struct pfk__lent *l, unsigned *now, unsigned *max)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (l->kind != PFK_TCP ||
	    getsockopt(l->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == -1)
		return false;
	*now = info.tcpi_unacked;
	*max = info.tcpi_sacked;
	return true;
}

/* All slots' rows; the caller frees them. */
static struct row *
rows(const struct pfk__master *m)
{
	struct row *table = calloc((size_t)m->places_top + 1, sizeof(*table));

	for (int i = 0; table != NULL && i < m->places_top; i++) {
		const struct pfk__lent *l = pfk__custody_first(&m->custody, i);
		unsigned now, max;

		table[i] = (struct row){.slot = i, .place = &m->places[i]};
		for (; l != NULL; l = pfk__custody_next(l)) {
			if (!queue_of(l, &now, &max))
				continue;
			table[i].has_queue = true;
			table[i].queue += now;
			table[i].queue_max += max;
		}
	}
	return table;
}

/* A slot that was given up is shown while its sockets are served. */
static bool
is_shown(const struct pfk__master *m, const struct row *r)
{
	return r->slot < m->workers || r->place->serving != NULL ||
	    r->place->booting != NULL || r->place->adopter != NULL;
}

static const struct pfk__child *
worker_of(const struct pfk__place *p)
{
	return p->serving != NULL ? p->serving : p->booting;
}

/* While the worker has not introduced itself its pid is not known. */
static bool
has_keeper(const struct pfk__child *c)
{
	return c != NULL && c->pid != 0 && c->keeper != 0 &&
	    c->keeper != c->pid;
}

static int
count_serving(const struct pfk__master *m)
{
	int n = 0;

	for (int i = 0; i < m->workers; i++)
		n += m->places[i].serving != NULL;
	return n;
}

/* JSON */

void
pfk__report_time(struct pfk__json *j, const char *key, time_t t)
{
	char text[40];
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL)
		pfk__json_null(j, key);
	else if (strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
		pfk__json_string(j, key, text);
}

static void
json_service(struct pfk__json *j, const struct pfk__master *m)
{
	const struct pfk__control_socket *k = m->control;

	pfk__json_int(j, "protocol", PFK__CONTROL_VERSION);
	pfk__json_string(j, "name", k->instance.name);
	pfk__json_string(j, "program", getprogname());
	pfk__json_string(j, "version", version_of(m));
	pfk__json_string(j, "library", PFK_VERSION);
	pfk__json_int(j, "pid", getpid());
	pfk__json_string(j, "state", state_of_service(m));
	pfk__json_seconds(j, "uptime_seconds",
	    pfk__report_since(m, k->started_ns));
	pfk__json_int(j, "workers", m->workers);
	pfk__json_int(j, "workers_configured", m->config.workers);
	pfk__json_int(j, "workers_serving", count_serving(m));
	pfk__json_int(j, "generation", (long long)m->epoch);
	pfk__json_string(j, "log_level", level_name());
	pfk__json_open(j, "configuration", '{');
	pfk__json_string(j, "file", m->config.config_file);
	pfk__report_time(j, "read_at", k->configured);
	pfk__json_seconds(j, "read_seconds_ago",
	    pfk__report_since(m, k->configured_ns));
	pfk__json_bool(j, "changed_since", is_outdated(m));
	pfk__json_close(j, '}');
}

static void
json_reload(struct pfk__json *j, const struct pfk__master *m)
{
	const struct pfk__reload_note *r = &m->control->reload;

	pfk__json_open(j, "last_reload", '{');
	pfk__json_string(j, "result", result_of_reload(r));
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

static void
json_slot(struct pfk__json *j, const struct pfk__master *m, const struct row *r)
{
	const struct pfk__place *p = r->place;
	const struct pfk__child *c = worker_of(p);

	pfk__json_open(j, NULL, '{');
	pfk__json_int(j, "slot", r->slot);
	pfk__json_string(j, "state", state_of_slot(p));
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
	if (has_keeper(c))
		pfk__json_int(j, "keeper", c->keeper);
	else
		pfk__json_null(j, "keeper");
	pfk__json_int(j, "restarts", p->restarts);
	if (r->has_queue) {
		pfk__json_int(j, "accept_queue", r->queue);
		pfk__json_int(j, "accept_queue_max", r->queue_max);
	} else {
		pfk__json_null(j, "accept_queue");
		pfk__json_null(j, "accept_queue_max");
	}
	if (p->adopter != NULL)
		pfk__json_int(j, "served_by", p->adopter->slot);
	else
		pfk__json_null(j, "served_by");
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
	struct row *table = rows(m);

	pfk__json_open(&j, NULL, '{');
	json_service(&j, m);
	json_reload(&j, m);
	json_listeners(&j, m);
	pfk__json_open(&j, "slots", '[');
	for (int i = 0; table != NULL && i < m->places_top; i++) {
		if (is_shown(m, &table[i]))
			json_slot(&j, m, &table[i]);
	}
	pfk__json_close(&j, ']');
	json_leaving(&j, m);
	pfk__deaths_json(&j, m);
	pfk__json_close(&j, '}');
	putc('\n', f);
	free(table);
}

/* text */

const char *
pfk__report_age(char *dst, size_t size, double seconds)
{
	unsigned long s = (unsigned long)seconds;

	if (s >= 86400)
		snprintf(dst, size, "%lud %luh", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		snprintf(dst, size, "%luh %lum", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		snprintf(dst, size, "%lum %lus", s / 60, s % 60);
	else
		snprintf(dst, size, "%lus", s);
	return dst;
}

static void
text_reload(FILE *f, const struct pfk__master *m)
{
	const struct pfk__reload_note *r = &m->control->reload;
	char age[32];

	if (r->begun == 0) {
		fputs("last reload:   none\n", f);
		return;
	}
	pfk__report_age(age, sizeof(age), pfk__report_since(m, r->at_ns));
	if (r->running)
		fprintf(f, "last reload:   running for %s\n", age);
	else
		fprintf(f, "last reload:   %s ago, %s: %s\n", age,
		    result_of_reload(r), r->text);
	if (r->changes[0] != '\0')
		fprintf(f, "it changed:    %s\n", r->changes);
}

static void
text_service(FILE *f, const struct pfk__master *m)
{
	const struct pfk__control_socket *k = m->control;
	const struct pfk__lent *l = pfk__custody_first(&m->custody, 0);
	const char *file = m->config.config_file;
	char age[32], name[PFK_ADDR_SIZE];
	const char *comma = "";

	fprintf(f, "%s: %s, %d of %d workers serve, up %s\n", k->instance.name,
	    state_of_service(m), count_serving(m), m->workers,
	    pfk__report_age(age, sizeof(age),
		pfk__report_since(m, k->started_ns)));
	fprintf(f, "program:       %s %s, pid %d\n", getprogname(),
	    version_of(m), (int)getpid());
	fputs("serves:        ", f);
	for (; l != NULL; l = pfk__custody_next(l)) {
		fprintf(f, "%s%s %s", comma, pfk__kind_name(l->kind),
		    pfk_addr_format(name, &l->bound));
		comma = ", ";
	}
	fprintf(f, "\nconfiguration: %s, read %s ago%s, generation %llu\n",
	    file != NULL ? file : "no file",
	    pfk__report_age(age, sizeof(age),
		pfk__report_since(m, k->configured_ns)),
	    is_outdated(m) ? " and changed since: reload to apply it" : "",
	    (unsigned long long)m->epoch);
	text_reload(f, m);
	fprintf(f, "log level:     %s\n", level_name());
}

static void
text_slot(FILE *f, const struct pfk__master *m, const struct row *r)
{
	const struct pfk__place *p = r->place;
	const struct pfk__child *c = worker_of(p);
	char pid[16] = "-", age[32] = "-", queue[32] = "-", by[32] = "itself";
	char keeper[16] = "-";

	if (has_keeper(c))
		snprintf(keeper, sizeof(keeper), "%d", (int)c->keeper);
	if (c != NULL) {
		snprintf(pid, sizeof(pid), "%d", (int)pfk__child_pid(c));
		pfk__report_age(age, sizeof(age),
		    pfk__report_since(m, c->started_ns));
	}
	if (r->has_queue)
		snprintf(queue, sizeof(queue), "%u/%u", r->queue, r->queue_max);
	if (p->adopter != NULL)
		snprintf(by, sizeof(by), "worker %d", p->adopter->slot);
	else if (p->serving == NULL)
		strlcpy(by, "-", sizeof(by));
	fprintf(f, "%4d %8s %8s %-10s %-9s %8u %13s  %s\n", r->slot, pid,
	    keeper, state_of_slot(p), age, p->restarts, queue, by);
}

void
pfk__report_text(FILE *f, const struct pfk__master *m)
{
	struct row *table = rows(m);
	const struct pfk__child *c;
	char age[32];

	text_service(f, m);
	fprintf(f, "\n%4s %8s %8s %-10s %-9s %8s %13s  %s\n", "SLOT", "PID",
	    "KEEPER", "STATE", "AGE", "RESTARTS", "ACCEPT QUEUE", "SERVED BY");
	for (int i = 0; table != NULL && i < m->places_top; i++) {
		if (is_shown(m, &table[i]))
			text_slot(f, m, &table[i]);
	}
	LIST_FOREACH(c, &m->children, link) {
		if (c->phase == PFK__PHASE_LEAVING)
			fprintf(f, "%4d %8d %8s %-10s %-9s\n", c->slot,
			    (int)pfk__child_pid(c), "-", "leaving",
			    pfk__report_age(age, sizeof(age),
				pfk__report_since(m, c->started_ns)));
	}
	free(table);
}
