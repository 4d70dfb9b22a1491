/*
 * subprocess.c: programs that a loop's process starts, a worker's and the
 * master's too; signals of the program's in both.
 */
#include <errno.h>
#include <prefork.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "service.h"
#include "tap.h"
#include "unit.h"

static struct pfk_loop *loop;
static int ends, status;

static char *
word(const char *text)
{
	return (char *)(uintptr_t)text;
}

static void
on_end(void *arg, int how)
{
	(void)arg;
	ends++;
	status = how;
}

static struct pfk_subprocess *
start(const char *script, const int *fds)
{
	char *argv[] = {word("sh"), word("-c"), word(script), NULL};

	ends = 0;
	return pfk_subprocess_start(loop, argv, fds, on_end, NULL);
}

static void
test_end(void)
{
	struct pfk_subprocess *s;
	char *missing[] = {word("/nonexistent"), NULL};

	ok(start("exit 7", NULL) != NULL, "a program starts");
	is_int(pfk_loop_run(loop), 0, "the loop waits for it");
	ok(ends == 1 && WIFEXITED(status) && WEXITSTATUS(status) == 7,
	    "its status: %#x", (unsigned)status);
	s = start("exec sleep 60", NULL);
	ok(pfk_subprocess_pid(s) > 0, "it has a pid");
	is_int(pfk_subprocess_signal(s, SIGTERM), 0, "it gets a signal");
	pfk_loop_run(loop);
	ok(ends == 1 && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM,
	    "which ends it: %#x", (unsigned)status);
	errno = 0;
	ok(pfk_subprocess_start(loop, missing, NULL, on_end, NULL) == NULL &&
		errno == ENOENT,
	    "there is no such program");
	is_int(unit_count_children(), 0, "no child is left");
}

/* Its descriptors change places, and it has no others. */
static void
test_descriptors(void)
{
	int fds[2], swap[3], old = dup(STDIN_FILENO);
	char buf[64] = "";

	unit_pair(fds);
	dup2(fds[1], STDIN_FILENO);
	swap[0] = STDERR_FILENO;
	swap[1] = STDIN_FILENO;
	swap[2] = STDIN_FILENO;
	start("ls /proc/self/fd | wc -l; trap; kill -PIPE $$; echo no", swap);
	dup2(old, STDIN_FILENO);
	close(old);
	close(fds[1]);
	pfk_loop_run(loop);
	/* 0 to 2, and the directory of ls. */
	is_int(read(fds[0], buf, sizeof(buf) - 1), 2, "its output is ours");
	is_str(buf, "4\n", "three descriptors");
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE,
	    "it has the default of an ignored signal: %#x", (unsigned)status);
	close(fds[0]);
}

static void
test_watch(void)
{
	struct pfk_subprocess *s;
	pid_t pid = fork();

	if (pid == 0)
		_exit(3);
	ends = 0;
	ok(pfk_subprocess_watch(loop, pid, on_end, NULL) != NULL,
	    "a child of fork(2)");
	pfk_loop_run(loop);
	ok(ends == 1 && WEXITSTATUS(status) == 3, "its status: %#x",
	    (unsigned)status);
	errno = 0;
	ok(pfk_subprocess_watch(loop, pid, on_end, NULL) == NULL &&
		errno == ESRCH,
	    "it is no process any more");
	s = pfk_subprocess_watch(loop, getppid(), on_end, NULL);
	ok(s != NULL, "a process that is no child");
	pfk_subprocess_cancel(&s);
	ok(s == NULL, "is forgotten");
	is_int(pfk_loop_run(loop), 0, "and not waited for");
}

/* in a service */

static volatile pid_t *subprocess; /* of the first worker, shared */

static void
log_end(void *arg, int how)
{
	pfk_log(PFK_INFO, "%s saw status %#x", (const char *)arg,
	    (unsigned)how);
}

static void
log_signal(void *arg, int signo)
{
	pfk_log(PFK_INFO, "%s got signal %d", (const char *)arg, signo);
}

static pid_t
start_in(struct pfk_loop *l, const char *script, const char *who)
{
	char *argv[] = {word("sh"), word("-c"), word(script), NULL};
	struct pfk_subprocess *s = pfk_subprocess_start(l, argv, NULL, log_end,
	    word(who));

	return s != NULL ? pfk_subprocess_pid(s) : -1;
}

static void
nothing(void *arg)
{
	(void)arg;
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	struct pfk_loop *l = pfk_worker_loop(w);

	(void)arg;
	if (pfk_master_loop() != NULL)
		return -1;
	if (*subprocess == 0)
		*subprocess = start_in(l, "exec sleep 60", "worker");
	start_in(l, "echo from a child >&2; exit 4", "worker");
	if (pfk_signal_add(l, SIGUSR1, log_signal, word("worker")) == NULL)
		return -1;
	return pfk_later(l, 60 * PFK_SECOND_NS, nothing, NULL);
}

static int
on_ready(void *arg)
{
	(void)arg;
	start_in(pfk_master_loop(), "exit 5", "master");
	if (pfk_signal_add(pfk_master_loop(), SIGALRM, log_signal,
		word("master")) == NULL)
		return 1;
	return 0;
}

static bool
is_gone(pid_t pid)
{
	for (int i = 0; i < 1000; i++) {
		if (kill(pid, 0) == -1 && errno == ESRCH)
			return true;
		usleep(10000);
	}
	return false;
}

static void
test_service(enum pfk_sandbox sandbox)
{
	static const struct pfk_hooks hooks = {.worker_init = worker_init,
	    .on_ready = on_ready};
	pid_t worker;
	size_t at;

	*subprocess = 0;
	service_sandbox = sandbox;
	service_start(&hooks, 1);
	ok(service_wait(0, "] worker saw status 0x400") != 0,
	    "a worker's program has ended");
	ok(service_wait(0, "] from a child") != 0,
	    "its standard error is the "
	    "log");
	ok(service_wait(0, "] master saw status 0x500") != 0,
	    "the master's, too");
	worker = service_worker(0, 0);
	kill(worker, SIGUSR1);
	ok(service_wait(0, "] worker got signal 10") != 0, "a worker's signal");
	service_signal(SIGALRM);
	ok(service_wait(0, "] master got signal 14") != 0,
	    "the master's signal");
	at = service_log_size();
	kill(worker, SIGKILL);
	ok(service_wait(at, "] worker saw status 0x400") != 0,
	    "a successor starts its own");
	is_int(kill(*subprocess, SIGTERM), 0, "the dead worker's goes on");
	ok(is_gone(*subprocess), "until it ends, and then leaves no zombie");
	service_end(SIGTERM);
}

int
main(void)
{
	signal(SIGPIPE, SIG_IGN);
	loop = pfk_loop_new(NULL);
	test_end();
	test_descriptors();
	test_watch();
	pfk_loop_free(loop);
	subprocess = mmap(NULL, sizeof(*subprocess), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_service(PFK_SANDBOX_OFF);
	test_service(PFK_SANDBOX_AUTO);
	return done_testing();
}
