/*
 * identity.c: a worker whose keeper has died cannot make the master signal another
 * process, neither by a number that is free nor by one that is not.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/master.h"
#include "tap.h"

static pid_t
start(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		for (;;)
			pause();
	}
	return pid;
}

static void
end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int
main(void)
{
	struct pfk__child c = {.pidfd = -1, .keeper_pidfd = -1};
	pid_t worker = start(), other = start(), gone = start();

	end(gone);
	c.keeper = getpid();
	ok(pfk__child_identify(&c, worker), "a child of the keeper's");
	is_int(c.pid, worker, "is the worker");
	ok(pfk__child_identify(&c, gone), "one that is dead already");
	is_int(c.pid, worker, "is not");
	c.keeper = 0;
	ok(pfk__child_identify(&c, worker), "the keeper has died: the worker");
	ok(!pfk__child_identify(&c, other), "and nobody else");
	ok(!pfk__child_identify(&c, gone), "nor a number that is free");
	is_int(c.pid, worker, "the worker stays the same");
	pfk__child_forget(&c);
	end(worker);
	end(other);
	return done_testing();
}
