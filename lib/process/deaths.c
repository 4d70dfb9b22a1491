/*
 * deaths.c: the last deaths of workers, for prefork-ctl why.
 *
 * Layer: process.  The texts come from a worker's side of the channel, so they
 * are cut and cleaned before anybody reads them.
 */
#include "process/deaths.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cgroup.h"
#include "base/json.h"
#include "process/area.h"
#include "process/keeper.h"
#include "process/master.h"
#include "process/report.h"

/* noting */

static void
copy_printable(char *dst, const char *src, size_t size)
{
	strlcpy(dst, src, size);
	for (; *dst != '\0'; dst++) {
		if (*dst < ' ' || *dst > '~')
			*dst = '?';
	}
}

/* Make room for one more of the slot: its own oldest one goes, or the oldest. */
static void
make_room(struct pfk__deaths *d, int slot)
{
	int first = -1, of_slot = 0;

	for (int i = 0; i < d->n; i++) {
		if (d->list[i].slot != slot)
			continue;
		of_slot++;
		if (first == -1)
			first = i;
	}
	if (of_slot < PFK__DEATHS_OF_SLOT && d->n < PFK__DEATHS_MAX)
		return;
	if (of_slot < PFK__DEATHS_OF_SLOT)
		first = 0;
	free(d->list[first].last);
	d->n--;
	memmove(&d->list[first], &d->list[first + 1],
	    (size_t)(d->n - first) * sizeof(d->list[0]));
}

void
pfk__deaths_watch(struct pfk__deaths *d)
{
	d->oom_kills = pfk__cgroup_oom_kills("/proc/self/cgroup",
	    "/sys/fs/cgroup");
}

/* The kernel says that it has killed, but not which process. */
static void
note_oom(struct pfk__deaths *d, struct pfk__death *death)
{
	uint64_t was = d->oom_kills, n;

	pfk__deaths_watch(d);
	n = d->oom_kills - was;
	if (n > 0)
		snprintf(death->cause, sizeof(death->cause),
		    "memory ran out: %llu oom_kill in the cgroup since the "
		    "last death; raise memory.max or start fewer workers",
		    (unsigned long long)n);
}

void
pfk__deaths_free(struct pfk__deaths *d)
{
	while (d->n > 0)
		free(d->list[--d->n].last);
}

static void
note_events(struct pfk__last *last, const struct pfk__recorder *r, pid_t pid,
    uint64_t now, uint64_t *until)
{
	uint64_t i, end, ns;
	char text[100];

	pfk__record_find(r, pid, PFK__LAST_EVENTS, &i, &end, until);
	for (; i < end && last->n < PFK__LAST_EVENTS; i++) {
		if (pfk__record_describe(r, i, text, sizeof(text), &ns))
			snprintf(last->events[last->n++],
			    sizeof(last->events[0]), "-%.3fs %s",
			    (double)(ns < now ? now - ns : 0) / 1e9, text);
	}
}

static void
note_lines(struct pfk__last *last, const struct pfk__recorder *r, uint64_t now,
    uint64_t until)
{
	uint64_t n = r->n_lines;
	uint64_t i = n > PFK__LINES ? n - PFK__LINES : 0;

	while (i < n && r->lines[i % PFK__LINES].ns < until)
		i++;
	n = i;
	i = n > PFK__LAST_LINES ? n - PFK__LAST_LINES : 0;
	if (r->n_lines - i > PFK__LINES)
		i = r->n_lines - PFK__LINES;
	for (; i < n && last->n_lines < PFK__LAST_LINES; i++) {
		uint64_t ns = r->lines[i % PFK__LINES].ns;
		char raw[PFK__LINE_BYTES], text[PFK__LINE_BYTES];

		/* Perhaps no zero ends it. */
		memcpy(raw, r->lines[i % PFK__LINES].text, sizeof(raw) - 1);
		raw[sizeof(raw) - 1] = '\0';
		copy_printable(text, raw, sizeof(text));
		snprintf(last->lines[last->n_lines++], sizeof(last->lines[0]),
		    "-%.3fs %s", (double)(ns < now ? now - ns : 0) / 1e9, text);
	}
}

/*
 * Copy the events in its recorder, because the next worker will overwrite them.
 */
static struct pfk__last *
last_of(const struct pfk__child *c, pid_t pid, uint64_t now)
{
	const struct pfk__area *a = pfk__area_of(c->pulse.page);
	struct pfk__last *last;
	uint64_t until;

	if (c->orphan)
		return NULL;
	last = calloc(1, sizeof(*last));
	if (last == NULL)
		return NULL;
	note_events(last, &a->recorder, pid, now, &until);
	note_lines(last, &a->recorder, now, until);
	return last;
}

void
pfk__deaths_note(const struct pfk__child *c, pid_t pid, int status,
    const char *doing, const char *outcome)
{
	struct pfk__deaths *d = &c->master->deaths;
	struct pfk__death *death;

	make_room(d, c->slot);
	death = &d->list[d->n++];
	*death = (struct pfk__death){.at = time(NULL),
	    .at_ns = pfk_loop_now(c->master->loop),
	    .slot = c->slot,
	    .pid = pid,
	    .status = status,
	    .outcome = outcome,
	    .last = last_of(c, pid, pfk_loop_now(c->master->loop))};
	death->age_ns = death->at_ns - c->started_ns;
	copy_printable(death->cause,
	    c->cause[0] != '\0' ? c->cause : c->fail_text,
	    sizeof(death->cause));
	if (death->cause[0] == '\0' && WIFSIGNALED(status) &&
	    WTERMSIG(status) == SIGKILL)
		note_oom(d, death);
	copy_printable(death->doing, doing, sizeof(death->doing));
}

/* describing */

static const char *
meaning_of(int status)
{
	static const struct {
		int signo;
		const char *meaning;
	} table[] = {{SIGKILL,
			 "sent by a person, or by the kernel when memory ran "
			 "out (dmesg tells)"},
	    {SIGSEGV, "it used memory that it does not have"},
	    {SIGBUS,
		"it used memory that it does not have, or a file that "
		"was cut"},
	    {SIGABRT, "it stopped itself: a failed check, or damaged memory"},
	    {SIGFPE, "it divided by zero, or the like"},
	    {SIGILL,
		"it ran a bad instruction, or a failed check of the "
		"compiler's"},
	    {SIGSYS,
		"it made a system call that its sandbox denies: its last log "
		"line names the call"},
	    {SIGXCPU, "it used up its limit of CPU time"},
	    {SIGXFSZ, "a file reached its limit of size"}};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (WIFSIGNALED(status) && WTERMSIG(status) == table[i].signo)
			return table[i].meaning;
	}
	return "";
}

static void
text_last(FILE *f, const struct pfk__last *last)
{
	if (last->n_lines > 0)
		fputs("    its last log lines:\n", f);
	for (int i = 0; i < last->n_lines; i++)
		fprintf(f, "        %s\n", last->lines[i]);
	if (last->n > 0)
		fputs("    its last events:\n", f);
	for (int i = 0; i < last->n; i++)
		fprintf(f, "        %s\n", last->events[i]);
}

static void
text_death(FILE *f, const struct pfk__master *m, const struct pfk__death *d)
{
	const char *meaning = meaning_of(d->status);
	char how[64], at[40] = "", ago[32], age[32];
	struct tm tm;

	if (localtime_r(&d->at, &tm) != NULL)
		strftime(at, sizeof(at), "%Y-%m-%d %H:%M:%S", &tm);
	pfk__describe_status(d->status, how, sizeof(how));
	pfk__report_age(ago, sizeof(ago), pfk__report_since(m, d->at_ns));
	pfk__report_age(age, sizeof(age), (double)d->age_ns / 1e9);
	fprintf(f, "worker %d (%d) %s, %s ago: %s\n", d->slot, (int)d->pid, at,
	    ago, how);
	if (d->cause[0] != '\0')
		fprintf(f, "    cause:       %s\n", d->cause);
	else if (meaning[0] != '\0')
		fprintf(f, "    it means:    %s\n", meaning);
	fprintf(f, "    it ran for:  %s\n", age);
	if (d->doing[0] != '\0')
		fprintf(f, "    it was:      %s\n", d->doing);
	fprintf(f, "    connections: %s\n", d->outcome);
	if (d->last != NULL)
		text_last(f, d->last);
}

void
pfk__deaths_text(FILE *f, const struct pfk__master *m, int slot)
{
	const struct pfk__deaths *d = &m->deaths;
	int found = 0;

	for (int i = d->n - 1; i >= 0; i--) {
		if (slot != -1 && d->list[i].slot != slot)
			continue;
		text_death(f, m, &d->list[i]);
		found++;
	}
	if (found == 0 && slot == -1)
		fputs("no worker has died since the start\n", f);
	else if (found == 0)
		fprintf(f, "no worker %d has died since the start\n", slot);
}

static void
json_death(struct pfk__json *j, const struct pfk__master *m,
    const struct pfk__death *d)
{
	char how[64];

	pfk__json_open(j, NULL, '{');
	pfk__json_int(j, "slot", d->slot);
	pfk__json_int(j, "pid", d->pid);
	pfk__report_time(j, "at", d->at);
	pfk__json_seconds(j, "seconds_ago", pfk__report_since(m, d->at_ns));
	pfk__json_seconds(j, "age_seconds", (double)d->age_ns / 1e9);
	if (WIFSIGNALED(d->status)) {
		pfk__json_null(j, "exit_status");
		pfk__json_int(j, "signal", WTERMSIG(d->status));
	} else {
		pfk__json_int(j, "exit_status", WEXITSTATUS(d->status));
		pfk__json_null(j, "signal");
	}
	pfk__describe_status(d->status, how, sizeof(how));
	pfk__json_string(j, "text", how);
	pfk__json_string(j, "cause", d->cause);
	pfk__json_string(j, "doing", d->doing);
	pfk__json_string(j, "connections", d->outcome);
	pfk__json_open(j, "log", '[');
	for (int i = 0; d->last != NULL && i < d->last->n_lines; i++)
		pfk__json_string(j, NULL, d->last->lines[i]);
	pfk__json_close(j, ']');
	pfk__json_open(j, "events", '[');
	for (int i = 0; d->last != NULL && i < d->last->n; i++)
		pfk__json_string(j, NULL, d->last->events[i]);
	pfk__json_close(j, ']');
	pfk__json_close(j, '}');
}

void
pfk__deaths_json(struct pfk__json *j, const struct pfk__master *m)
{
	pfk__json_open(j, "deaths", '[');
	for (int i = m->deaths.n - 1; i >= 0; i--)
		json_death(j, m, &m->deaths.list[i]);
	pfk__json_close(j, ']');
}
