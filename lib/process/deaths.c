/*
 * deaths.c: the last deaths of workers, for prefork-ctl why.
 *
 * Layer: process.  The texts come from a worker's side of the channel, so they
 * are cut and cleaned before anybody reads them.
 */
#include "process/deaths.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/json.h"
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
	d->n--;
	memmove(&d->list[first], &d->list[first + 1],
	    (size_t)(d->n - first) * sizeof(d->list[0]));
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
	    .outcome = outcome};
	death->age_ns = death->at_ns - c->started_ns;
	copy_printable(death->cause,
	    c->cause[0] != '\0' ? c->cause : c->fail_text,
	    sizeof(death->cause));
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
	    {SIGSYS, "it made a system call that is not permitted"},
	    {SIGXCPU, "it used up its limit of CPU time"},
	    {SIGXFSZ, "a file reached its limit of size"}};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (WIFSIGNALED(status) && WTERMSIG(status) == table[i].signo)
			return table[i].meaning;
	}
	return "";
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
