/*
 * A worker that stands still does not serve: its process is stopped, or its loop has
 * not turned for half of the hang limit, also while no client waits.
 */
#include "process/rows.h"

#include <prefork.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/master.h"
#include "process/report.h"
#include "tap.h"

#define LIMIT_NS (30 * PFK_SECOND_NS)

static struct pfk__master *m;
static struct pfk__child *c;

static pid_t
sleeper(void)
{
	pid_t pid = fork();

	if (pid == -1)
		skip_all("no fork");
	if (pid == 0) {
		alarm(60);
		for (;;)
			pause();
	}
	return pid;
}

/* Whether the worker stalls, and the sums agree. */
static bool
stalls(void)
{
	bool yes = pfk__row_stalls(m, 0);

	is_int(pfk__report_stalled(m), yes, "stalled: %d", yes);
	is_int(pfk__report_serving(m), !yes, "serving: %d", !yes);
	return yes;
}

static void
turned_before(uint64_t ns, uint64_t hang_ns)
{
	pfk__pulse_restart(&c->pulse, pfk_loop_now(m->loop) - ns);
	c->hang_ns = hang_ns;
}

static void
test_loop(void)
{
	turned_before(0, LIMIT_NS);
	ok(!stalls(), "its loop turns");
	turned_before(LIMIT_NS / 2 - PFK_MSEC_NS, LIMIT_NS);
	ok(!stalls(), "it stands for less than half of the limit");
	turned_before(LIMIT_NS / 2 + PFK_MSEC_NS, LIMIT_NS);
	ok(stalls(), "and for more");
	turned_before(LIMIT_NS, 0);
	ok(!stalls(), "there is no limit");
	m->places[0].stall.stalled = true;
	ok(stalls(), "its queue is served by another");
	m->places[0].stall.stalled = false;
}

static void
test_stopped(void)
{
	int status;

	turned_before(0, LIMIT_NS);
	kill(c->pid, SIGSTOP);
	waitpid(c->pid, &status, WUNTRACED);
	ok(stalls(), "it is stopped");
	kill(c->pid, SIGCONT);
	waitpid(c->pid, &status, WCONTINUED);
	ok(!stalls(), "and goes on");
}

int
main(void)
{
	m = calloc(1, sizeof(*m));
	c = calloc(1, sizeof(*c));
	m->loop = pfk_loop_new(NULL);
	m->workers = 1;
	m->places[0].serving = c;
	*c = (struct pfk__child){.master = m, .pid = sleeper(), .pidfd = -1};
	if (pfk__pulse_open(&c->pulse, &m->pages, pfk_loop_now(m->loop)) == -1)
		skip_all("no shared memory");
	test_loop();
	test_stopped();
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
	m->places[0].serving = NULL;
	ok(!pfk__row_stalls(m, 0), "there is none");
	pfk__pulse_close(&c->pulse, &m->pages);
	pfk_loop_free(m->loop);
	return done_testing();
}
