/*
 * heartbeat.c: the master's judgement of a worker's pulse.
 */
#include "process/heartbeat.h"

#include <prefork.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/pages.h"
#include "tap.h"

#define NOW (1000 * PFK_SECOND_NS)
#define LIMIT (30 * PFK_SECOND_NS)

static int
judge_after(struct pfk__pulse *p, uint64_t seconds)
{
	return (
	    int)pfk__pulse_judge(p, NOW + seconds * PFK_SECOND_NS, LIMIT, NULL);
}

/* The same for a process that the kernel tells of. */
static int
judge_as(struct pfk__pulse *p, uint64_t seconds, char state, uint64_t cpu_s,
    bool traced)
{
	struct pfk__look look = {.cpu_ns = cpu_s * PFK_SECOND_NS,
	    .state = state,
	    .traced = traced};

	return (int)pfk__pulse_judge(p, NOW + seconds * PFK_SECOND_NS, LIMIT,
	    &look);
}

static void
by_state(struct pfk__pages *pages)
{
	struct pfk__pulse p;

	pfk__pulse_open(&p, pages, NOW);
	is_int(judge_as(&p, 10, 'R', 100, false), PFK__VERDICT_ALIVE,
	    "it computes");
	is_int(judge_as(&p, 50, 'R', 102, false), PFK__VERDICT_ALIVE,
	    "it gets no CPU, however long");
	is_int(judge_as(&p, 51, 'R', 103, false), PFK__VERDICT_HUNG,
	    "it spins: 3 s of CPU");
	pfk__pulse_restart(&p, NOW + 60 * PFK_SECOND_NS);
	is_int(judge_as(&p, 70, 'D', 0, false), PFK__VERDICT_ALIVE,
	    "another one is blocked");
	is_int(judge_as(&p, 95, 't', 0, true), PFK__VERDICT_ALIVE,
	    "a debugger holds it");
	is_int(judge_as(&p, 124, 'T', 0, false), PFK__VERDICT_ALIVE,
	    "the limit starts anew");
	is_int(judge_as(&p, 126, 'T', 0, false), PFK__VERDICT_HUNG,
	    "it is stopped");
	is_int(judge_as(&p, 127, 'T', 0, false), PFK__VERDICT_LOST,
	    "so that it has no last words");
	pfk__pulse_close(&p, pages);
}

static bool
stands(struct pfk__pulse *p, uint64_t seconds, char state, uint64_t cpu_s,
    bool traced)
{
	struct pfk__look look = {.cpu_ns = cpu_s * PFK_SECOND_NS,
	    .state = state,
	    .traced = traced};

	return pfk__pulse_stands(p, NOW + seconds * PFK_SECOND_NS,
	    2 * PFK_SECOND_NS, &look);
}

/* Whether a successor is to be started: the look changes nothing. */
static void
for_a_successor(struct pfk__pages *pages)
{
	struct pfk__pulse p;

	pfk__pulse_open(&p, pages, NOW);
	ok(!stands(&p, 1, 'S', 0, false), "it has turned a moment ago");
	ok(stands(&p, 3, 'S', 0, false), "it waits for something else");
	ok(!stands(&p, 3, 't', 0, true), "a debugger holds it");
	ok(!stands(&p, 3, 'R', 1, false), "it waits for a CPU");
	ok(stands(&p, 4, 'R', 2, false), "it computes");
	is_int(judge_after(&p, 29), PFK__VERDICT_ALIVE, "it does not hang yet");
	++p.page->beat;
	ok(!stands(&p, 29, 'R', 9, false), "it turns");
	pfk__pulse_close(&p, pages);
}

int
main(void)
{
	struct pfk__pages pages = {0};
	struct pfk__pulse p;
	pid_t pid;

	is_int(pfk__pulse_open(&p, &pages, NOW), 0, "open");
	is_int(judge_after(&p, 29), PFK__VERDICT_ALIVE, "within the limit");
	++p.page->beat;
	is_int(judge_after(&p, 29), PFK__VERDICT_ALIVE, "it turns");
	is_int(judge_after(&p, 58), PFK__VERDICT_ALIVE,
	    "the limit starts anew");
	pfk__pulse_excuse(&p, NOW + 58 * PFK_SECOND_NS);
	is_int(judge_after(&p, 87), PFK__VERDICT_ALIVE, "excused");
	is_int(pfk__pulse_judge(&p, NOW + 999 * PFK_SECOND_NS, 0, NULL),
	    PFK__VERDICT_ALIVE, "no limit");
	pid = fork();
	if (pid == 0) {
		++p.page->beat;
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	is_int(judge_after(&p, 200), PFK__VERDICT_ALIVE,
	    "another process turns");
	is_int(judge_after(&p, 230), PFK__VERDICT_HUNG, "it stands still");
	is_int(judge_after(&p, 231), PFK__VERDICT_ALIVE, "which is said once");
	++p.page->beat;
	is_int(judge_after(&p, 232), PFK__VERDICT_LOST, "after its last words");
	pfk__pulse_close(&p, &pages);
	pfk__pulse_close(&p, &pages);
	pass("closed twice");
	by_state(&pages);
	for_a_successor(&pages);
	return done_testing();
}
