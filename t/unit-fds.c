/*
 * unit-fds.c: closing all descriptors but some, by close_range(2), by the list
 * in /proc, and by number. The library's calls pass through here.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fds.h"
#include "tap.h"

static bool no_call, no_proc;

int
close_range(unsigned fd, unsigned max_fd, int flags)
{
	if (no_call) {
		errno = ENOSYS;
		return -1;
	}
	return (int)syscall(SYS_close_range, fd, max_fd, flags);
}

DIR *
opendir(const char *name)
{
	int fd = no_proc ? -1 : open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd != -1 ? fdopendir(fd) : NULL;
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) != -1;
}

/* In a child: the exit status is the number of wrong ones. */
static int
close_all_but(int first, int second)
{
	int keep[] = {second, -1, first}, wrong = 0, last = 40;

	for (int fd = STDERR_FILENO + 1; fd <= last; fd++)
		dup2(STDERR_FILENO, fd);
	pfk__close_others(keep, 3);
	for (int fd = 0; fd <= last; fd++) {
		bool stays = fd <= STDERR_FILENO || fd == first || fd == second;

		wrong += is_open(fd) != stays;
	}
	return wrong;
}

static void
test_close(const char *how)
{
	static const int keeps[][2] = {{3, 4}, {3, 40}, {10, 11}, {20, 7},
	    {-1, -1}};

	for (size_t i = 0; i < sizeof(keeps) / sizeof(keeps[0]); i++) {
		int status = -1;
		pid_t pid = fork();

		if (pid == 0)
			_exit(close_all_but(keeps[i][0], keeps[i][1]));
		waitpid(pid, &status, 0);
		is_int(status, 0, "%s: all but %d and %d", how, keeps[i][0],
		    keeps[i][1]);
	}
}

int
main(void)
{
	test_close("close_range");
	no_call = true;
	test_close("/proc");
	no_proc = true;
	test_close("by number");
	return done_testing();
}
