/*
 * misuse.h: a table of mistakes in the use of the library.
 */
#include "misuse.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

struct pfk_loop *misuse_loop;

void
misuse_try(const struct misuse *r)
{
	char text[4096];
	size_t len = 0;
	int fds[2], status = -1;
	ssize_t n;
	pid_t pid;

	if (pipe(fds) == -1)
		skip_all("no pipe");
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		alarm(30); /* a mistake may go on for ever */
		misuse_loop = pfk_loop_new(NULL);
		_exit(r->make());
	}
	close(fds[1]);
	while ((n = read(fds[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(fds[0]);
	waitpid(pid, &status, 0);
	ok(WIFEXITED(status), "%s: it goes on", r->name);
	is_int(WEXITSTATUS(status), r->error, "%s: its error", r->name);
	if (!ok(strstr(text, r->line) != NULL, "%s: its line", r->name))
		diag("%s", text);
}
