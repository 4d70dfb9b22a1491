/*
 * identity.c: which process a child's worker is, and signals to it.
 *
 * Layer: process.  A worker says its pid itself, and the master may be root: so
 * the master signals it by a pidfd, and only if its parent is the child's
 * keeper.  An orphan names its keeper, too: that must be its parent and have its user,
 * and gets signals by a pidfd.  pidfd_open(2), proc(5).
 */
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/parent.h"
#include "base/state.h"
#include "process/master.h"

static int
send_signal(int pidfd, pid_t pid, int signo)
{
	if (pidfd != -1)
		return (
		    int)syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0);
	return kill(pid, signo);
}

/* Whether the number was this process's all the time since the pidfd was opened. */
static bool
is_there(int pidfd, pid_t pid)
{
	return send_signal(pidfd, pid, 0) == 0 || errno == EPERM;
}

/* Otherwise a process of another user could have its number, or be its child. */
static bool
may_name(const struct pfk__child *c)
{
	return c->keeper_pidfd == -1 || is_there(c->keeper_pidfd, c->keeper);
}

bool
pfk__child_identify(struct pfk__child *c, pid_t pid)
{
	int pidfd;
	pid_t parent;

	if (pid <= 1 || !may_name(c))
		return false;
	/*
	 * Its keeper is dead, so that nobody has cloned another one; and 0 is told as
	 * the parent of a process that does not exist, whose number another may get.
	 */
	if (c->keeper == 0 && pfk__parent_of(getpid()) != -1)
		return pid == c->pid;
	/* Opened first: from then on the pid is nobody else's. */
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	parent = pfk__parent_of(pid);
	if (pid != c->keeper && parent != -1 && parent != c->keeper) {
		if (pidfd != -1)
			close(pidfd);
		/* Dead already, and its keeper's next one will tell. */
		return parent == 0;
	}
	pfk__child_forget(c);
	c->pid = pid;
	c->pidfd = pidfd;
	return true;
}

/* Where the kernel has no pidfds, *fd is -1, too. */
static bool
open_pid(int *fd, pid_t pid)
{
	*fd = (int)syscall(SYS_pidfd_open, pid, 0);
	return *fd != -1 || errno == ENOSYS;
}

static bool
is_family(pid_t pid, pid_t keeper, uid_t uid)
{
	return pfk__process_user(pid) == uid &&
	    (keeper == 0 ||
		(keeper != getpid() && pfk__process_user(keeper) == uid &&
		    pfk__parent_of(pid) == keeper));
}

bool
pfk__child_claim(struct pfk__child *c, pid_t pid, pid_t keeper, uid_t uid)
{
	/* Then nothing can be verified, and a master of root signals no keeper. */
	bool blind = pfk__parent_of(getpid()) == -1;
	bool good;

	if (blind && geteuid() == 0)
		keeper = 0;
	good = pid > 1 && open_pid(&c->pidfd, pid) &&
	    (keeper == 0 || open_pid(&c->keeper_pidfd, keeper)) &&
	    (blind || is_family(pid, keeper, uid)) && is_there(c->pidfd, pid) &&
	    (keeper == 0 || is_there(c->keeper_pidfd, keeper));
	if (good) {
		c->pid = pid;
		c->keeper = keeper;
	}
	return good;
}

void
pfk__child_forget(struct pfk__child *c)
{
	if (c->pidfd != -1)
		close(c->pidfd);
	c->pidfd = -1;
	c->pid = 0;
}

pid_t
pfk__child_pid(const struct pfk__child *c)
{
	return c->pid != 0 ? c->pid : c->keeper;
}

bool
pfk__child_runs(const struct pfk__child *c)
{
	return c->pid != 0 && send_signal(c->pidfd, c->pid, 0) == 0;
}

void
pfk__child_end_worker(struct pfk__child *c)
{
	send_signal(c->pidfd, pfk__child_pid(c), SIGKILL);
	/* A worker that is dead already stays so while its keeper is stopped. */
	if (c->keeper > 1 && c->keeper != c->pid)
		send_signal(c->keeper_pidfd, c->keeper, SIGCONT);
}

void
pfk__child_signal(struct pfk__child *c, int signo)
{
	/* A worker that is not known yet cannot be asked to end. */
	bool last = signo == SIGKILL || c->pid == 0;

	if (last)
		c->pulse.page->last = 1;
	/* An orphan's keeper does not see this master's page. */
	if (last && c->orphan && c->keeper > 1)
		send_signal(c->keeper_pidfd, c->keeper, SIGKILL);
	if (c->pid != 0)
		send_signal(c->pidfd, c->pid, signo);
	if (last && !c->orphan && c->keeper != 0 && c->keeper != c->pid) {
		kill(c->keeper, SIGUSR2);
		/* A stopped one would never wait for its worker's end. */
		kill(c->keeper, SIGCONT);
	}
}
