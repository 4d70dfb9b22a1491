/*
 * metric.c: metrics of the program's own, beside the library's.
 *
 * Layer: event.  The definitions are made before the first fork, so that master
 * and workers have the same ones.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/misuse.h"
#include "event/loop.h"

static struct {
	struct pfk__metric list[PFK__METRICS_MAX + PFK__METRIC_TIMES_MAX];
	int n;
	int values, times; /* the entries of own and own_times in use */
} defined;

const struct pfk__metric *
pfk__metrics(int *n)
{
	*n = defined.n;
	return defined.list;
}

static bool
ends_in(const char *s, const char *suffix)
{
	size_t n = strlen(s), len = strlen(suffix);

	return n > len && strcmp(s + n - len, suffix) == 0;
}

/* The rules of Prometheus, with a prefix of the program's. */
static bool
is_name(enum pfk_metric_kind kind, const char *s)
{
	const char *want[] =
	    {[PFK_COUNTER] = "_total", [PFK_TIMES] = "_seconds"};

	if (!islower((unsigned char)s[0]) || strchr(s, '_') == NULL ||
	    strncmp(s, "prefork_", 8) == 0 ||
	    s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_")] != '\0')
		return false;
	return kind == PFK_GAUGE ? !ends_in(s, "_total")
				 : ends_in(s, want[kind]);
}

int
pfk_metric_define(enum pfk_metric_kind kind, const char *name, const char *help)
{
	struct pfk__metric *m = &defined.list[defined.n];
	int *taken = kind == PFK_TIMES ? &defined.times : &defined.values;
	int max = kind == PFK_TIMES ? PFK__METRIC_TIMES_MAX : PFK__METRICS_MAX;

	if ((unsigned)kind > PFK_TIMES)
		return pfk__misuse(EINVAL,
		    "pfk_metric_define: %d is no enum pfk_metric_kind",
		    (int)kind);
	if (!is_name(kind, name) || strlen(name) >= sizeof(m->name))
		return pfk__misuse(EINVAL,
		    "pfk_metric_define: %s is no name of a metric of this kind",
		    name);
	if (help[0] == '\0' || strchr(help, '\n') != NULL)
		return pfk__misuse(EINVAL,
		    "pfk_metric_define: the help of %s is not one line", name);
	errno = EEXIST;
	for (int i = 0; i < defined.n; i++) {
		if (strcmp(defined.list[i].name, name) == 0)
			return -1;
	}
	errno = ENOSPC;
	if (*taken == max)
		return -1;
	*m = (struct pfk__metric){.kind = kind, .index = (*taken)++};
	strlcpy(m->name, name, sizeof(m->name));
	strlcpy(m->help, help, sizeof(m->help));
	return defined.n++;
}

/* The metric's value in the loop, or NULL where it is none of that kind. */
static uint64_t *
value_of(struct pfk_loop *l, int metric, enum pfk_metric_kind kind)
{
	if (metric < 0 || metric >= defined.n ||
	    defined.list[metric].kind != kind)
		return NULL;
	return &l->stats->own[defined.list[metric].index];
}

void
pfk_metric_add(struct pfk_loop *l, int metric, uint64_t n)
{
	uint64_t *v = value_of(l, metric, PFK_COUNTER);

	if (v != NULL)
		*v += n;
}

void
pfk_metric_set(struct pfk_loop *l, int metric, uint64_t value)
{
	uint64_t *v = value_of(l, metric, PFK_GAUGE);

	if (v != NULL)
		*v = value;
}

void
pfk_metric_time(struct pfk_loop *l, int metric, uint64_t ns)
{
	if (metric < 0 || metric >= defined.n ||
	    defined.list[metric].kind != PFK_TIMES)
		return;
	pfk__histogram_add(&l->stats->own_times[defined.list[metric].index], ns,
	    1);
}

void
pfk_count_dropped(struct pfk_loop *l, enum pfk_dropped why, uint64_t n)
{
	l->stats->counts[why == PFK_DROPPED_LOOP_GUARD
		? PFK__COUNT_DROPPED_LOOP_GUARD
		: PFK__COUNT_DROPPED_LIMIT] += n;
}
