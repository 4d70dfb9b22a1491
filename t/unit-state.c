/*
 * What the kernel tells of a process: it runs, is stopped, was killed, has ended.
 */
#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/state.h"
#include "tap.h"

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

int
main(void)
{
	pid_t pid = sleeper();
	int status;
	siginfo_t info;

	if (pfk__process_state(getpid()) == '?')
		skip_all("no /proc");
	ok(!pfk__process_ends(pid), "a process that lives");
	ok(!pfk__process_ends(getpid()), "this one");
	ok(pfk__process_user(pid) == geteuid(), "its user");
	kill(pid, SIGSTOP);
	waitpid(pid, &status, WUNTRACED);
	is_int(pfk__process_state(pid), 'T', "it is stopped");
	ok(!pfk__process_ends(pid), "and has not ended");
	kill(pid, SIGKILL);
	ok(pfk__process_ends(pid), "it is killed, and ends from then on");
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
	ok(pfk__process_ends(pid), "nobody has waited for it");
	waitpid(pid, &status, 0);
	ok(pfk__process_ends(pid), "there is none");
	ok(pfk__process_user(pid) == (uid_t)-1, "nor its user");
	return done_testing();
}
