/*
 * history.c: the counters of all slots, over the ends of their workers.
 *
 * Layer: process.  memfd_create(2).
 */
#include "process/history.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "process/area.h"
#include "process/control.h"
#include "process/master.h"

/* NULL: no memory, and the counts are lost. */
static struct pfk__stats *
past_of(struct pfk__master *m, int slot)
{
	struct pfk__place *p = &m->places[slot];

	if (p->past == NULL)
		p->past = calloc(1, sizeof(*p->past));
	return p->past;
}

static const struct pfk__stats *
stats_of(const struct pfk__child *c)
{
	return &pfk__area_of(c->pulse.page)->stats;
}

uint64_t
pfk__history_lost(const struct pfk__child *c)
{
	return stats_of(c)->connections;
}

void
pfk__history_fold(struct pfk__master *m, const struct pfk__child *c)
{
	const struct pfk__stats *s = stats_of(c);
	struct pfk__stats *past = past_of(m, c->slot);

	if (past == NULL)
		return;
	pfk__stats_add(past, s);
	/* They have ended with it; an orphan's are not known. */
	past->counts[PFK__COUNT_CLOSED_ERROR] += s->connections;
}

void
pfk__history_count(struct pfk__master *m, int slot, enum pfk__count count)
{
	struct pfk__stats *past = past_of(m, slot);

	if (past != NULL)
		past->counts[count]++;
}

void
pfk__history_restart(struct pfk__master *m, const struct pfk__child *c,
    int status)
{
	int signo = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	enum pfk__count cause = PFK__COUNT_RESTARTS_CRASHED;

	if (c->cause[0] != '\0')
		cause = PFK__COUNT_RESTARTS_HUNG;
	else if (signo == 0)
		cause = PFK__COUNT_RESTARTS_EXITED;
	else if (signo == SIGKILL || signo == SIGTERM || signo == SIGINT)
		cause = PFK__COUNT_RESTARTS_KILLED;
	pfk__history_count(m, c->slot, cause);
}

void
pfk__history_sum(const struct pfk__master *m, int slot, struct pfk__stats *sum)
{
	const struct pfk__stats *past = m->places[slot].past;
	const struct pfk__child *c;
	int n;
	const struct pfk__metric *own = pfk__metrics(&n);

	*sum = (struct pfk__stats){0};
	if (past != NULL)
		pfk__stats_add(sum, past);
	LIST_FOREACH(c, &m->children, link) {
		const struct pfk__stats *s = stats_of(c);

		if (c->slot != slot)
			continue;
		pfk__stats_add(sum, s);
		sum->connections += s->connections;
		for (int i = 0; i < n; i++) {
			if (own[i].kind == PFK_GAUGE)
				sum->own[own[i].index] += s->own[own[i].index];
		}
	}
}

uint64_t
pfk__history_reloads(const struct pfk__master *m)
{
	return m->reloads_before + m->control->reload.begun;
}

void
pfk__history_free(struct pfk__master *m)
{
	for (int i = 0; i < PFK_WORKERS_MAX; i++) {
		free(m->places[i].past);
		m->places[i].past = NULL;
	}
}

/* for the next program */

#define MAGIC UINT64_C(0x7066686973740001)

enum { RELOADS, STARTED_NS, STARTED, TAIL };

/*
 * Then the metrics' definitions, and for each slot as many counters, metrics and
 * histograms as these numbers say.  All of them are only ever appended to.  At the
 * end stand the number of reloads, and the start by the loop's clock and by that of
 * the day; the first programs have written none of them, or the first.
 */
struct saved_head {
	uint64_t magic;
	uint32_t counts, own, times, own_times;
	uint32_t buckets;
	uint32_t metrics;
	uint32_t slots;
	uint32_t metric_bytes;
};

static bool
save_slots(FILE *f, const struct pfk__master *m)
{
	struct pfk__stats s;

	for (int i = 0; i < m->places_top; i++) {
		pfk__history_sum(m, i, &s);
		if (fwrite(s.counts, sizeof(s.counts), 1, f) != 1 ||
		    fwrite(s.own, sizeof(s.own), 1, f) != 1 ||
		    fwrite(s.times, sizeof(s.times), 1, f) != 1 ||
		    fwrite(s.own_times, sizeof(s.own_times), 1, f) != 1)
			return false;
	}
	return true;
}

static bool
save(FILE *f, const struct pfk__master *m)
{
	int n;
	const struct pfk__metric *own = pfk__metrics(&n);
	struct saved_head h = {.magic = MAGIC,
	    .counts = PFK__COUNT_END,
	    .own = PFK__METRICS_MAX,
	    .times = PFK__TIME_END,
	    .own_times = PFK__METRIC_TIMES_MAX,
	    .buckets = PFK__BUCKETS,
	    .metrics = (uint32_t)n,
	    .slots = (uint32_t)m->places_top,
	    .metric_bytes = sizeof(*own)};
	uint64_t tail[TAIL] = {[RELOADS] = pfk__history_reloads(m),
	    [STARTED_NS] = m->control->started_ns,
	    [STARTED] = (uint64_t)m->control->started};

	return fwrite(&h, sizeof(h), 1, f) == 1 &&
	    fwrite(own, sizeof(*own), (size_t)n, f) == (size_t)n &&
	    save_slots(f, m) && fwrite(tail, sizeof(tail), 1, f) == 1 &&
	    fflush(f) == 0;
}

int
pfk__history_save(const struct pfk__master *m)
{
	int fd = memfd_create("counters", MFD_ALLOW_SEALING), file;
	bool good = false;
	FILE *f;

	if (fd == -1)
		return -1;
	file = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	f = file != -1 ? fdopen(file, "w") : NULL;
	if (f != NULL) {
		good = save(f, m);
		fclose(f);
	} else if (file != -1) {
		close(file);
	}
	if (good) {
		fcntl(fd, F_ADD_SEALS,
		    F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
		return fd;
	}
	close(fd);
	return -1;
}

/* The first `have` of `saved` elements, the others are passed over. */
static bool
read_array(FILE *f, void *to, size_t size, size_t have, size_t saved)
{
	size_t n = saved < have ? saved : have;

	return fread(to, size, n, f) == n &&
	    fseek(f, (long)((saved - n) * size), SEEK_CUR) == 0;
}

static bool
read_slot(FILE *f, const struct saved_head *h, struct pfk__stats *s)
{
	*s = (struct pfk__stats){0};
	return read_array(f, s->counts, sizeof(s->counts[0]), PFK__COUNT_END,
		   h->counts) &&
	    read_array(f, s->own, sizeof(s->own[0]), PFK__METRICS_MAX,
		h->own) &&
	    read_array(f, s->times, sizeof(s->times[0]), PFK__TIME_END,
		h->times) &&
	    read_array(f, s->own_times, sizeof(s->own_times[0]),
		PFK__METRIC_TIMES_MAX, h->own_times);
}

/* The program's metric that the saved one is, by its name; or NULL. */
static const struct pfk__metric *
same_metric(const struct pfk__metric *saved)
{
	int n,
	    max = saved->kind == PFK_TIMES ? PFK__METRIC_TIMES_MAX
					   : PFK__METRICS_MAX;
	const struct pfk__metric *own = pfk__metrics(&n);

	for (int i = 0; i < n; i++) {
		if (saved->kind == own[i].kind && saved->index >= 0 &&
		    saved->index < max &&
		    strncmp(saved->name, own[i].name, sizeof(own[i].name)) == 0)
			return &own[i];
	}
	return NULL;
}

/* Their numbers in the predecessor may be others. */
static void
renumber(struct pfk__stats *s, const struct pfk__metric *saved, size_t n)
{
	struct pfk__stats was = *s;

	memset(s->own, 0, sizeof(s->own));
	memset(s->own_times, 0, sizeof(s->own_times));
	for (size_t i = 0; i < n; i++) {
		const struct pfk__metric *m = same_metric(&saved[i]);

		if (m != NULL && m->kind == PFK_TIMES)
			s->own_times[m->index] = was.own_times[saved[i].index];
		else if (m != NULL)
			s->own[m->index] = was.own[saved[i].index];
	}
}

static void
load_tail(struct pfk__master *m, FILE *f)
{
	uint64_t tail[TAIL];
	size_t n = fread(tail, sizeof(tail[0]), TAIL, f);

	if (n > RELOADS)
		m->reloads_before = tail[RELOADS];
	if (n > STARTED && tail[STARTED_NS] <= m->control->started_ns) {
		m->control->started_ns = tail[STARTED_NS];
		m->control->started = (time_t)tail[STARTED];
	}
}

static bool
load(struct pfk__master *m, FILE *f)
{
	struct pfk__metric saved[PFK__METRICS_MAX + PFK__METRIC_TIMES_MAX];
	struct pfk__stats s, *past;
	struct saved_head h;

	if (fread(&h, sizeof(h), 1, f) != 1 || h.magic != MAGIC ||
	    h.buckets != PFK__BUCKETS || h.metric_bytes != sizeof(saved[0]) ||
	    h.metrics > sizeof(saved) / sizeof(saved[0]) ||
	    h.slots > PFK_WORKERS_MAX ||
	    fread(saved, sizeof(saved[0]), h.metrics, f) != h.metrics)
		return false;
	for (uint32_t i = 0; i < h.slots; i++) {
		if (!read_slot(f, &h, &s))
			return false;
		renumber(&s, saved, h.metrics);
		past = past_of(m, (int)i);
		if (past != NULL)
			pfk__stats_add(past, &s);
	}
	if ((int)h.slots > m->places_top)
		m->places_top = (int)h.slots;
	load_tail(m, f);
	return true;
}

void
pfk__history_load(struct pfk__master *m, int fd)
{
	FILE *f;

	if (lseek(fd, 0, SEEK_SET) == -1 || (f = fdopen(fd, "r")) == NULL) {
		close(fd);
		return;
	}
	if (!load(m, f))
		pfk_log(PFK_WARNING,
		    "cannot read the counters of the program before; they "
		    "begin anew");
	fclose(f);
}
