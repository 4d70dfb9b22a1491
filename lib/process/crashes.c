/*
 * crashes.c: whether a worker that crashes again and again gets a successor, and
 * when.
 *
 * Layer: process.
 */
#include "process/crashes.h"

#include <prefork.h>
#include <signal.h>
#include <sys/wait.h>

#define QUICK_NS PFK_SECOND_NS
#define IN_VAIN_MAX 10
/* After this many crashes in a row the next worker waits, longer each time. */
#define AT_ONCE 3
#define PAUSE_MIN_NS (10 * PFK_MSEC_NS)
#define PAUSE_MAX_NS (160 * PFK_MSEC_NS)

bool
pfk__crashes_ended(int status, bool begins)
{
	int signo = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	if (begins && WIFEXITED(status) && WEXITSTATUS(status) != 0)
		return true;
	return signo == SIGSEGV || signo == SIGBUS || signo == SIGFPE ||
	    signo == SIGILL || signo == SIGABRT || signo == SIGSYS ||
	    signo == SIGTRAP;
}

void
pfk__crashes_note(struct pfk__crashes *c, uint64_t ran_ns, bool removed)
{
	if (ran_ns >= QUICK_NS)
		*c = (struct pfk__crashes){0};
	c->in_row++;
	c->in_vain = removed ? 0 : c->in_vain + 1;
}

bool
pfk__crashes_are_in_vain(const struct pfk__crashes *c)
{
	return c->in_vain >= IN_VAIN_MAX;
}

uint64_t
pfk__crashes_pause(const struct pfk__crashes *c)
{
	uint64_t ns = PAUSE_MIN_NS;

	if (c->in_row <= AT_ONCE)
		return 0;
	for (unsigned i = AT_ONCE + 1; i < c->in_row && ns < PAUSE_MAX_NS; i++)
		ns *= 2;
	return ns;
}
