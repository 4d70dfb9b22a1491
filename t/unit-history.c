/*
 * history.c: the counters of a program are read by the next one, which may have
 * other metrics and other numbers of counters; a file that is damaged costs the
 * counts behind that place, and nothing else.
 */
#include "process/history.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "process/control.h"
#include "process/master.h"
#include "tap.h"

#define SLOTS 3
#define BEGUN_NS 100
#define BEGUN 1800000000

/* As history.c writes it. */
struct head {
	uint64_t magic;
	uint32_t counts, own, times, own_times;
	uint32_t buckets;
	uint32_t metrics;
	uint32_t slots;
	uint32_t metric_bytes;
};

static int requests, depth, waits;
static char saved[4u << 20];
static size_t saved_len;

static struct pfk__master *
new_master(void)
{
	struct pfk__master *m = calloc(1, sizeof(*m));

	m->control = calloc(1, sizeof(*m->control));
	LIST_INIT(&m->children);
	return m;
}

static void
end_master(struct pfk__master *m)
{
	pfk__history_free(m);
	free(m->control);
	free(m);
}

/* What a child's ended worker has left. */
static void
fill(struct pfk__master *m, int slot, uint64_t n)
{
	struct pfk__stats *s;

	pfk__history_count(m, slot, PFK__COUNT_RESTARTS_CRASHED);
	s = m->places[slot].past;
	s->counts[PFK__COUNT_RESTARTS_CRASHED] = n;
	s->own[0] = 10 * n;
	s->own_times[0].buckets[5] = 100 * n;
	s->times[0].buckets[7] = 1000 * n;
	if (m->places_top <= slot)
		m->places_top = slot + 1;
}

static void
save_one(void)
{
	struct pfk__master *m = new_master();
	int fd;

	for (int i = 0; i < SLOTS; i++)
		fill(m, i, (uint64_t)i + 1);
	m->control->reload.begun = 4;
	m->reloads_before = 3;
	m->control->started_ns = 5;
	m->control->started = 1700000000;
	fd = pfk__history_save(m);
	ok(fd != -1, "counters are saved");
	is_int(fcntl(fd, F_GET_SEALS) & F_SEAL_WRITE, F_SEAL_WRITE,
	    "nobody can change them");
	saved_len = (size_t)pread(fd, saved, sizeof(saved), 0);
	ok(saved_len > sizeof(struct head) && saved_len < sizeof(saved),
	    "%zu bytes", saved_len);
	close(fd);
	end_master(m);
}

/* A master that has begun after that, and read these bytes. */
static struct pfk__master *
load(const void *bytes, size_t len)
{
	struct pfk__master *m = new_master();
	int fd = memfd_create("counters", 0);

	if (write(fd, bytes, len) != (ssize_t)len)
		fail("a file of %zu bytes", len);
	m->control->started_ns = BEGUN_NS;
	m->control->started = BEGUN;
	pfk__history_load(m, fd);
	return m;
}

static uint64_t
restarts(const struct pfk__master *m, int slot)
{
	struct pfk__stats sum;

	pfk__history_sum(m, slot, &sum);
	return sum.counts[PFK__COUNT_RESTARTS_CRASHED];
}

static void
test_whole(void)
{
	struct pfk__master *m = load(saved, saved_len);
	struct pfk__stats sum;

	is_int(m->places_top, SLOTS, "the next program has the slots");
	is_int(pfk__history_reloads(m), 7, "and the reloads");
	is_int(m->control->started_ns, 5, "and the time of the start");
	is_int(m->control->started, 1700000000, "by both clocks");
	for (int i = 0; i < SLOTS; i++) {
		pfk__history_sum(m, i, &sum);
		is_int(sum.counts[PFK__COUNT_RESTARTS_CRASHED], i + 1,
		    "a counter of slot %d", i);
		is_int(sum.own[0], 10 * (i + 1), "a metric");
		is_int(sum.own_times[0].buckets[5], 100 * (i + 1),
		    "a metric of times");
		is_int(sum.times[0].buckets[7], 1000 * (i + 1), "a histogram");
	}
	end_master(m);
}

static void
test_damaged(void)
{
	struct head *h = (struct head *)(void *)saved, was = *h;
	struct {
		const char *name;
		struct head head;
	} cases[] = {{"magic", was}, {"buckets", was}, {"metric_bytes", was},
	    {"metrics", was}, {"slots", was}};

	cases[0].head.magic ^= 1;
	cases[1].head.buckets++;
	cases[2].head.metric_bytes--;
	cases[3].head.metrics = UINT32_MAX;
	cases[4].head.slots = PFK_WORKERS_MAX + 1;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pfk__master *m;

		*h = cases[i].head;
		m = load(saved, saved_len);
		is_int(m->places_top, 0, "wrong %s: nothing is read",
		    cases[i].name);
		end_master(m);
	}
	*h = was;
}

/* Ended at each 997th byte: the slots before count. */
static void
test_short(void)
{
	size_t first = sizeof(struct head) + 3 * sizeof(struct pfk__metric);
	size_t slot = (saved_len - first - 3 * sizeof(uint64_t)) / SLOTS;
	int wrong = 0;

	for (size_t len = 0; len < saved_len; len += 997) {
		struct pfk__master *m = load(saved, len);

		for (int i = 0; i < SLOTS; i++) {
			bool whole = len >= first + (size_t)(i + 1) * slot;

			wrong += restarts(m, i) !=
			    (uint64_t)(whole ? i + 1 : 0);
		}
		end_master(m);
	}
	is_int(wrong, 0, "a file that ends early gives the slots before");
}

/* A program with fewer counters, which had metrics of other names and places. */
static void
test_other_program(void)
{
	struct head h = *(const struct head *)(const void *)saved;
	struct pfk__metric metrics[4] = {{.kind = PFK_COUNTER,
					     .index = 1,
					     .name = "t_requests_total"},
	    {.kind = PFK_GAUGE, .index = 0, .name = "forgotten"},
	    {.kind = PFK_TIMES, .index = 0, .name = "t_waits_seconds"},
	    {.kind = PFK_COUNTER,
		.index = PFK__METRICS_MAX,
		.name = "t_depth_total"}};
	uint64_t numbers[] = {0, 0, 3, 5};
	static char bytes[1u << 20];
	struct pfk__master *m;
	struct pfk__stats sum;
	size_t len = 0;

	h.counts = 2;
	h.own = 2;
	h.times = 1;
	h.own_times = 1;
	h.metrics = 4;
	h.slots = 1;
	memcpy(bytes, &h, sizeof(h));
	len = sizeof(h);
	memcpy(bytes + len, metrics, sizeof(metrics));
	len += sizeof(metrics);
	memcpy(bytes + len, numbers, sizeof(numbers));
	len += sizeof(numbers) + 2 * sizeof(struct pfk__histogram);
	/* No number of reloads: the first programs wrote none. */
	m = load(bytes, len);
	pfk__history_sum(m, 0, &sum);
	is_int(sum.own[0], 5, "a metric is found by its name");
	is_int(sum.own[1], 0, "and one with an impossible place is left out");
	is_int(pfk__history_reloads(m), 0, "no reloads");
	is_int(m->control->started_ns, BEGUN_NS, "nor a start");
	end_master(m);
}

/* Without the start, as programs wrote it once; and one that is yet to come. */
static void
test_start(void)
{
	struct pfk__master *m = load(saved, saved_len - 2 * sizeof(uint64_t));
	static char bytes[sizeof(saved)];
	uint64_t later = BEGUN_NS + 1;

	is_int(pfk__history_reloads(m), 7, "a file without the start");
	is_int(m->control->started_ns, BEGUN_NS, "leaves that alone");
	is_int(m->control->started, BEGUN, "by both clocks");
	end_master(m);
	memcpy(bytes, saved, saved_len);
	memcpy(bytes + saved_len - 2 * sizeof(later), &later, sizeof(later));
	m = load(bytes, saved_len);
	is_int(m->control->started_ns, BEGUN_NS, "as does one of the future");
	end_master(m);
}

static void
test_more_counters(void)
{
	struct head h = *(const struct head *)(const void *)saved;
	static char bytes[1u << 20];
	struct pfk__master *m;
	uint64_t number = 9;

	h.counts += 3;
	h.metrics = 0;
	h.slots = 1;
	memcpy(bytes, &h, sizeof(h));
	memcpy(bytes + sizeof(h) + PFK__COUNT_RESTARTS_CRASHED * sizeof(number),
	    &number, sizeof(number));
	m = load(bytes,
	    sizeof(h) + (h.counts + h.own) * sizeof(number) +
		(h.times + h.own_times) * sizeof(struct pfk__histogram));
	is_int(restarts(m, 0), 9,
	    "counters of a later program are passed over");
	end_master(m);
}

int
main(void)
{
	requests = pfk_metric_define(PFK_COUNTER, "t_requests_total",
	    "Requests.");
	depth = pfk_metric_define(PFK_COUNTER, "t_depth_total", "Depth.");
	waits = pfk_metric_define(PFK_TIMES, "t_waits_seconds", "Waits.");
	ok(requests != -1 && depth != -1 && waits != -1, "three metrics");
	pfk_log_set_level(PFK_ERROR);
	save_one();
	test_whole();
	test_damaged();
	test_short();
	test_other_program();
	test_more_counters();
	test_start();
	return done_testing();
}
