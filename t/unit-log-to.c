/*
 * pfk_log_to under a master: the log process gives the program the lines of all
 * processes.
 */
#include <errno.h>
#include <prefork.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

#define STATUS 42

static struct shared {
	char text[65536];
	pid_t caller;
} * shared;

static void
on_line(void *arg, const char *line)
{
	struct shared *s = arg;
	size_t n = strlen(s->text);

	snprintf(s->text + n, sizeof(s->text) - n, "%s\n", line);
	s->caller = getpid();
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	(void)w;
	(void)arg;
	pfk_log(PFK_INFO, "hello");
	fprintf(stderr, "raw\n");
	return 0;
}

static int
on_ready(void *arg)
{
	(void)arg;
	errno = 0;
	if (pfk_log_to(on_line, shared) == -1 && errno == EBUSY)
		pfk_log(PFK_INFO, "busy");
	return STATUS;
}

int
main(void)
{
	static const struct pfk_hooks hooks = {.worker_init = worker_init,
	    .on_ready = on_ready};
	static const struct pfk_master_config config = {.workers = 2,
	    .shutdown_ns = PFK_SECOND_NS,
	    .control = "off"};
	int status;
	pid_t pid;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = fork();
	if (pid == 0) {
		pfk_log_to(on_line, shared);
		pfk_log(PFK_INFO, "before");
		_exit(pfk_master_run(&config, &hooks, NULL));
	}
	waitpid(pid, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == STATUS,
	    "the service has run: %#x", (unsigned)status);
	ok(strncmp(shared->text, "before\n", 7) == 0, "lines before it");
	ok(strstr(shared->text, "] hello\n[") != NULL, "a worker's");
	ok(strstr(shared->text, "[worker-1 (") != NULL, "with its name");
	ok(strstr(shared->text, "] raw\n") != NULL, "its standard error");
	ok(strstr(shared->text, "[master (") != NULL, "the master's");
	ok(strstr(shared->text, "] busy\n") != NULL,
	    "which cannot change it any more");
	ok(shared->caller != pid, "the log process has called");
	printf("# %s", "the log follows\n");
	for (char *line = strtok(shared->text, "\n"); line != NULL;
	     line = strtok(NULL, "\n"))
		printf("# %s\n", line);
	return done_testing();
}
