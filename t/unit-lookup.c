/*
 * resolve.c: the cause of a look-up that fails, in words and as errno; and a look-up that
 * ends with the process that wants it.
 * getaddrinfo(3) passes through here, because each of its errors needs another
 * network.
 */
#include <errno.h>
#include <netdb.h>
#include <prefork.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"

static int result, result_errno;
static pid_t *silent; /* shared; the process that waits for name servers */

int
getaddrinfo(const char *name, const char *service, const struct addrinfo *req,
    struct addrinfo **pai)
{
	(void)name;
	(void)service;
	(void)req;
	*pai = NULL;
	if (silent != NULL) {
		__atomic_store_n(silent, getpid(), __ATOMIC_RELEASE);
		for (;;)
			pause();
	}
	errno = result_errno;
	return result;
}

static void
fails(int error, int system, int expected, const char *why)
{
	struct pfk_addr addr;
	const char *errstr = "";

	result = error;
	result_errno = system;
	errno = 0;
	is_int(pfk_resolve("name.test", 7, AF_UNSPEC, 10 * PFK_SECOND_NS, &addr,
		   1, &errstr),
	    -1, "%s", why);
	is_int(errno, expected, "%s: errno", why);
	ok(strstr(errstr, why) != NULL, "%s: %s", why, errstr);
	ok(strstr(errstr, "-6") == NULL, "%s: no option is blamed", why);
}

/* The status of a child, or -1 after 10 s. */
static int
wait_end(pid_t pid)
{
	const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
	int status;

	for (int i = 0; i < 2000; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		nanosleep(&pause, NULL);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

/* It has the standard error of the process that was killed, for as long as it likes. */
static void
test_end(void)
{
	const struct timespec pause = {.tv_nsec = 1000 * 1000};
	struct pfk_addr addr;
	const char *errstr;
	pid_t asker, child = 0;

	silent = mmap(NULL, sizeof(*silent), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	asker = fork();
	if (asker == 0) {
		pfk_resolve("name.test", 7, AF_UNSPEC, 3600 * PFK_SECOND_NS,
		    &addr, 1, &errstr);
		_exit(0);
	}
	for (int i = 0; i < 10000 && child == 0; i++) {
		nanosleep(&pause, NULL);
		child = __atomic_load_n(silent, __ATOMIC_ACQUIRE);
	}
	ok(child > 0 && child != asker, "a child asks silent name servers");
	kill(asker, SIGKILL);
	is_int(wait_end(asker), SIGKILL, "the process that waits is killed");
	is_int(wait_end(child), SIGKILL, "and the child ends with it");
}

int
main(void)
{
	fails(EAI_NONAME, 0, ENOENT, "there is no such name");
	fails(EAI_NODATA, 0, ENOENT, "no such address");
	fails(EAI_ADDRFAMILY, 0, ENOENT, "no such address");
	fails(EAI_AGAIN, 0, EAGAIN, "no name server answers now");
	fails(EAI_SYSTEM, EMFILE, EMFILE, "raise RLIMIT_NOFILE");
	fails(EAI_SYSTEM, EACCES, EACCES, "Permission denied");
	fails(EAI_FAIL, 0, EIO, gai_strerror(EAI_FAIL));
	test_end();
	return done_testing();
}
