/*
 * report_text.c: the state of a service as text.
 *
 * Layer: process.
 */
#include "process/report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "net/listener.h"
#include "process/control.h"
#include "process/history.h"
#include "process/master.h"
#include "process/rows.h"

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
		    pfk__report_reload(r), r->text);
	if (r->changes[0] != '\0')
		fprintf(f, "it changed:    %s\n", r->changes);
}

static void
text_service(FILE *f, const struct pfk__master *m)
{
	const struct pfk__control_socket *k = m->control;
	const struct pfk__lent *l = pfk__custody_first(&m->custody, 0);
	const char *file = m->config.config_file;
	char age[32], name[PFK_ADDR_SIZE], stalled[40] = "";
	int n = pfk__report_stalled(m);
	const char *comma = "";

	if (n > 0)
		snprintf(stalled, sizeof(stalled), ", %d stalled", n);
	fprintf(f, "%s: %s, %d of %d workers serve%s, up %s\n",
	    k->instance.name, pfk__report_state(m), pfk__report_serving(m),
	    m->workers, stalled,
	    pfk__report_age(age, sizeof(age),
		pfk__report_since(m, k->started_ns)));
	fprintf(f, "program:       %s %s, pid %d\n", getprogname(),
	    pfk__report_version(m), (int)getpid());
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
	    pfk__report_is_outdated(m)
		? " and changed since: reload to apply it"
		: "",
	    (unsigned long long)m->epoch);
	text_reload(f, m);
	fprintf(f, "log level:     %s\n", pfk__report_level());
}

/* 999, 1.2k, 35M: at most five characters. */
static const char *
short_number(char *dst, size_t size, uint64_t n)
{
	static const char units[] = " kMGTPE";
	double value = (double)n;
	int i = 0;

	for (; value >= 999.5; i++)
		value /= 1000;
	if (i == 0)
		snprintf(dst, size, "%llu", (unsigned long long)n);
	else
		snprintf(dst, size, value < 9.95 ? "%.1f%c" : "%.0f%c", value,
		    units[i]);
	return dst;
}

static const char *
short_time(char *dst, size_t size, uint64_t ns)
{
	if (ns == 0)
		strlcpy(dst, "-", size);
	else if (ns < 1000000)
		snprintf(dst, size, "%lluus", (unsigned long long)ns / 1000);
	else if (ns < 10 * PFK_SECOND_NS)
		snprintf(dst, size, "%llums", (unsigned long long)ns / 1000000);
	else
		snprintf(dst, size, "%llus",
		    (unsigned long long)(ns / PFK_SECOND_NS));
	return dst;
}

#define SLOT_FORMAT \
	"%4s %7s %-9s %-7s %6s %6s %8s %5s %5s %9s %11s %4s %8s  %s\n"

static void
text_slot(FILE *f, const struct pfk__master *m, const struct pfk__row *r)
{
	const struct pfk__histogram *turn = &r->sum.times[PFK__TIME_TURN];
	const struct pfk__child *c = r->worker;
	const uint64_t *n = r->sum.counts;
	char slot[16], pid[16] = "-", age[32] = "-", queue[32] = "-";
	char by[32] = "itself", number[5][16], p50[16], p99[16], turns[40];
	char cpu[16] = "-", restarts[16];

	snprintf(slot, sizeof(slot), "%d", r->slot);
	snprintf(restarts, sizeof(restarts), "%u", r->place->restarts);
	snprintf(turns, sizeof(turns), "%s/%s",
	    short_time(p50, sizeof(p50), pfk__histogram_quantile(turn, 0.5)),
	    short_time(p99, sizeof(p99), pfk__histogram_quantile(turn, 0.99)));
	if (c != NULL) {
		snprintf(pid, sizeof(pid), "%d", (int)pfk__child_pid(c));
		pfk__report_age(age, sizeof(age),
		    pfk__report_since(m, c->started_ns));
		snprintf(cpu, sizeof(cpu), "%.0f%%", r->cpu * 100);
	}
	if (r->has_queue)
		snprintf(queue, sizeof(queue), "%u/%u", r->queue, r->queue_max);
	if (r->place->adopter != NULL)
		snprintf(by, sizeof(by), "worker %d", r->place->adopter->slot);
	else if (r->place->serving == NULL)
		strlcpy(by, "-", sizeof(by));
	fprintf(f, SLOT_FORMAT, slot, pid, pfk__row_state(r), age,
	    short_number(number[0], 16, r->sum.connections),
	    short_number(number[1], 16, n[PFK__COUNT_ACCEPTED]),
	    short_number(number[2], 16,
		n[PFK__COUNT_MESSAGES_IN] + n[PFK__COUNT_DATAGRAMS_IN]),
	    short_number(number[3], 16,
		n[PFK__COUNT_BYTES_IN] + n[PFK__COUNT_DATAGRAM_BYTES_IN]),
	    short_number(number[4], 16,
		n[PFK__COUNT_BYTES_OUT] + n[PFK__COUNT_DATAGRAM_BYTES_OUT]),
	    queue, turns, cpu, restarts, by);
}

static void
text_slots(FILE *f, const struct pfk__master *m)
{
	struct pfk__row r;

	fprintf(f, "\n" SLOT_FORMAT, "SLOT", "PID", "STATE", "AGE", "CONNS",
	    "ACCEPT", "MESSAGES", "IN", "OUT", "QUEUE", "LOOP 50/99", "CPU",
	    "RESTARTS", "SERVED BY");
	for (int i = 0; i < m->places_top; i++) {
		pfk__row_make(&r, m, i);
		if (pfk__row_is_shown(m, &r))
			text_slot(f, m, &r);
	}
}

static void
text_own(FILE *f, const struct pfk__master *m)
{
	struct pfk__stats all = {0}, s;
	char p50[16], p99[16];
	int n;
	const struct pfk__metric *own = pfk__metrics(&n);

	for (int i = 0; n > 0 && i < m->places_top; i++) {
		pfk__history_sum(m, i, &s);
		pfk__stats_add(&all, &s);
		for (int k = 0; k < n; k++) {
			if (own[k].kind == PFK_GAUGE)
				all.own[own[k].index] += s.own[own[k].index];
		}
	}
	if (n > 0)
		putc('\n', f);
	for (int i = 0; i < n; i++) {
		const struct pfk__histogram *h = &all.own_times[own[i].index];

		if (own[i].kind == PFK_TIMES)
			fprintf(f, "%s: %llu, p50 %s, p99 %s\n", own[i].name,
			    (unsigned long long)pfk__histogram_count(h),
			    short_time(p50, sizeof(p50),
				pfk__histogram_quantile(h, 0.5)),
			    short_time(p99, sizeof(p99),
				pfk__histogram_quantile(h, 0.99)));
		else
			fprintf(f, "%s: %llu\n", own[i].name,
			    (unsigned long long)all.own[own[i].index]);
	}
}

void
pfk__report_text(FILE *f, const struct pfk__master *m)
{
	const struct pfk__child *c;
	char age[32];

	text_service(f, m);
	text_slots(f, m);
	LIST_FOREACH(c, &m->children, link) {
		if (c->phase == PFK__PHASE_LEAVING)
			fprintf(f, "%4d %7d %-9s %-7s\n", c->slot,
			    (int)pfk__child_pid(c), "leaving",
			    pfk__report_age(age, sizeof(age),
				pfk__report_since(m, c->started_ns)));
	}
	text_own(f, m);
}
