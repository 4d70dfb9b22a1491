/*
 * The control socket and clients that send descriptors: connections with a
 * close(2) that waits for hours, and many at a time.  The master answers the
 * next client all the same, and has none of them left.
 */
#include <poll.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "linger.h"
#include "service.h"
#include "tap.h"
#include "tree.h"
#include "unit.h"

#define STRANGER 12345

static int
worker_init(struct pfk_worker *w, void *arg)
{
	(void)w;
	(void)arg;
	return 0;
}

/* Whether the next client has its answer. */
static bool
answers(void)
{
	int fd = service_connect_control();
	char buf[3] = "";

	unit_write(fd, "1 status\n", 9);
	unit_read(fd, buf, sizeof(buf));
	close(fd);
	return memcmp(buf, "OK\n", 3) == 0;
}

/* The client sends a line with such connections, twice each, and goes. */
static void
send_lingering(const char *line)
{
	int fds[2], fd;

	fds[0] = fds[1] = linger_socket();
	fd = service_connect_control();
	linger_send(fd, line, strlen(line), fds, 2);
	linger_send(fd, line, strlen(line), fds, 2);
	close(fds[0]);
	close(fd);
}

/* Its pid; it stays, because its end would reset the connections. */
static pid_t
start_stranger(void)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		if (setgid(STRANGER) == -1 || setuid(STRANGER) == -1)
			_exit(1);
		send_lingering("1 status\n");
		raise(SIGSTOP);
		_exit(0);
	}
	waitpid(pid, &status, WUNTRACED);
	ok(WIFSTOPPED(status), "a stranger");
	return pid;
}

static void
test(const char *name, const char *line)
{
	int before = service_fds(), after = -1;
	pid_t stranger = -1;

	/* It takes nothing before all is sent, or close(2) would wait here. */
	service_signal(SIGSTOP);
	if (line != NULL)
		send_lingering(line);
	else
		stranger = start_stranger();
	service_signal(SIGCONT);
	ok(answers(), "%s: the next one is answered", name);
	for (int i = 0; (after = service_fds()) != before && i < 500; i++)
		poll(NULL, 0, 20);
	is_int(after, before, "%s: nothing is left open", name);
	if (stranger > 0) {
		kill(stranger, SIGKILL);
		waitpid(stranger, NULL, 0);
	}
}

int
main(void)
{
	static const struct pfk_hooks hooks = {.worker_init = worker_init};

	/* Strangers connect, too. */
	chmod(service_place("control"), 0755);
	service_start(&hooks, 1);
	ok(service_wait(0, "ready: 1 worker") != 0, "ready");
	test("a command", "1 status\n");
	test("half a line", "1 st");
	test("a command that waits", "1 reload\n");
	test("a knock without sense",
	    "\x02\x01\x01\x01\x01\x01\x01\x01"
	    "\x01\x01\x01\x01\x01\x01\x01\x01"
	    "\x01\x01\x01\x01\x01\x01\x01\x01");
	if (geteuid() == 0)
		test("a stranger's", NULL);
	else
		skip(3, "only root can become another user");
	if (!is_int(service_end(SIGTERM), 0, "exit status"))
		diag("%s", service_log());
	tree_remove();
	return done_testing();
}
