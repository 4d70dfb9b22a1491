/*
 * measure.c: phases, the server's cost between two of them, latencies.
 *
 * A process's cost is its CPU clock, all its threads', by the nanosecond: utime
 * and stime of /proc/PID/stat.  The time that it could have run and did not,
 * because another process had its core, is the second figure of its threads'
 * schedstat.
 */
#include <dirent.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

#define STEPS 32 /* of a histogram, for each power of two */
#define BUCKETS (64 * STEPS)
#define END_NS (10 * NS)

static uint64_t histogram[BUCKETS];

uint64_t
clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static uint64_t
cpu_of(pid_t pid)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 ||
	    clock_gettime(clock, &t) == -1)
		return 0;
	return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static uint64_t
wait_of(pid_t pid)
{
	unsigned long long waited;
	uint64_t sum = 0;
	char path[300];
	struct dirent *e;
	DIR *tasks;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/task", (long)pid);
	tasks = opendir(path);
	while (tasks != NULL && (e = readdir(tasks)) != NULL) {
		snprintf(path, sizeof(path), "/proc/%ld/task/%s/schedstat",
		    (long)pid, e->d_name);
		f = e->d_name[0] != '.' ? fopen(path, "r") : NULL;
		if (f == NULL)
			continue;
		if (fscanf(f, "%*u %llu", &waited) == 1)
			sum += waited;
		fclose(f);
	}
	if (tasks != NULL)
		closedir(tasks);
	return sum;
}

static uint64_t
private_bytes(pid_t pid)
{
	char path[64], line[256];
	uint64_t sum = 0;
	unsigned long long kib;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/smaps_rollup", (long)pid);
	f = fopen(path, "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "Private_Clean: %llu", &kib) == 1 ||
		    sscanf(line, "Private_Dirty: %llu", &kib) == 1)
			sum += kib * 1024;
	}
	if (f != NULL)
		fclose(f);
	return sum;
}

/* The cost of server and load since the call before. */
static void
take_cost(void)
{
	static uint64_t before[4];
	uint64_t cost[4] = {0};
	char *pids = strdup(load.o.pids), *rest = pids, *word;

	load.memory = 0;
	while ((word = strsep(&rest, ",")) != NULL) {
		pid_t pid = (pid_t)atol(word);

		cost[0] += cpu_of(pid);
		cost[1] += wait_of(pid);
		if (load.phase == MEASURING)
			load.memory += private_bytes(pid);
	}
	free(pids);
	cost[2] = cpu_of(getpid());
	cost[3] = wait_of(getpid());
	load.cpu_ns = cost[0] - before[0];
	load.wait_ns = cost[1] - before[1];
	load.own_cpu_ns = cost[2] - before[2];
	load.own_wait_ns = cost[3] - before[3];
	memcpy(before, cost, sizeof(before));
}

/*
 * Whether enough was measured.  Messages that were on the way at the begin do
 * not count: the server may have answered them before.
 */
static bool
measured(void)
{
	uint64_t least = load.o.active > 0
	    ? load.o.active
	    : (uint64_t)load.o.connections * load.o.depth;

	if (load.o.count > 0 && load.started >= load.o.count &&
	    load.on_the_way == 0)
		return true;
	return load.now_ns >= load.deadline_ns && load.messages >= 2 * least;
}

/* Once a turn of the loop: takes the time; false when all is over. */
bool
turn(void)
{
	load.now_ns = clock_ns();
	if (load.phase == WARMING && load.begin_ns == 0) {
		load.begin_ns = load.now_ns;
		load.deadline_ns = load.now_ns + load.o.warm_ns;
	} else if (load.phase == WARMING && load.now_ns >= load.deadline_ns) {
		take_cost();
		load.phase = MEASURING;
		load.messages = 0;
		memset(histogram, 0, sizeof(histogram));
		load.begin_ns = clock_ns();
		load.deadline_ns = load.begin_ns + load.o.run_ns;
	} else if (load.phase == MEASURING && measured()) {
		load.seconds_ns = load.now_ns - load.begin_ns;
		take_cost();
		load.phase = ENDING;
		load.deadline_ns = clock_ns() + END_NS;
	} else if (load.phase == ENDING &&
	    (load.on_the_way == 0 || load.now_ns >= load.deadline_ns)) {
		load.lost += load.on_the_way;
		load.phase = DONE;
	}
	return load.phase != DONE;
}

bool
may_start(void)
{
	return load.phase < ENDING &&
	    (load.o.count == 0 || load.started < load.o.count);
}

static unsigned
bucket_of(uint64_t ns)
{
	unsigned shift = ns < STEPS ? 0 : 58u - (unsigned)__builtin_clzll(ns);

	return shift * STEPS + (unsigned)(ns >> shift);
}

/* The middle of a bucket, in microseconds. */
static double
bucket_us(unsigned i)
{
	unsigned shift = i < 2 * STEPS ? 0 : i / STEPS - 1;

	return (double)((uint64_t)(2 * (i - shift * STEPS) + 1) << shift) / 2e3;
}

void
count_message(uint64_t since_ns)
{
	load.on_the_way--;
	if (load.phase != MEASURING)
		return;
	load.messages++;
	histogram[bucket_of(load.now_ns - since_ns)]++;
}

static double
percentile(double share)
{
	uint64_t wanted = (uint64_t)(share * (double)load.messages), sum = 0;

	for (unsigned i = 0; i < BUCKETS; i++) {
		sum += histogram[i];
		if (sum > wanted)
			return bucket_us(i);
	}
	return 0;
}

void
report(void)
{
	printf("{\"messages\": %llu, \"all\": %llu, \"lost\": %llu, "
	       "\"seconds\": %.6f, \"cpu_ns\": %llu, \"wait_ns\": %llu, "
	       "\"load_cpu_ns\": %llu, \"load_wait_ns\": %llu, "
	       "\"memory\": %llu, \"p50_us\": %.2f, \"p99_us\": %.2f}\n",
	    (unsigned long long)load.messages,
	    (unsigned long long)(load.started - load.lost),
	    (unsigned long long)load.lost, (double)load.seconds_ns / 1e9,
	    (unsigned long long)load.cpu_ns, (unsigned long long)load.wait_ns,
	    (unsigned long long)load.own_cpu_ns,
	    (unsigned long long)load.own_wait_ns,
	    (unsigned long long)load.memory, percentile(0.5), percentile(0.99));
}
