/*
 * terminal.c: a worker cannot reach the terminal that the service was started
 * from: it reads nothing there and types nothing.  A ^C ends the service.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <prefork.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "tap.h"

#define SOON_MS 20000

static char text[1 << 16];
static size_t len;

/* the worker */

static bool
types(int fd)
{
	return ioctl(fd, TIOCSTI, "x") == 0;
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	int tty = open("/dev/tty", O_RDWR);

	(void)w;
	(void)arg;
	for (int fd = 0; fd <= 2; fd++)
		pfk_log(PFK_INFO, "%d: a terminal %d, types %d", fd, isatty(fd),
		    types(fd));
	pfk_log(PFK_INFO, "the terminal: open %d, types %d", tty != -1,
	    tty != -1 && types(tty));
	return 0;
}

/* the service: all three standard descriptors are the terminal */

static int
be_service(void)
{
	static const struct pfk_hooks hooks = {.worker_init = worker_init};
	struct pfk_master_config config = {.workers = 2,
	    .shutdown_ns = PFK_SECOND_NS,
	    .control = "off"};

	pfk_log_open("-");
	return pfk_master_run(&config, &hooks, NULL);
}

/* the test */

static bool
hear(int fd)
{
	ssize_t n = read(fd, text + len, sizeof(text) - 1 - len);

	if (n <= 0)
		return false;
	len += (size_t)n;
	text[len] = '\0';
	return true;
}

static bool
wait_for(int fd, const char *what)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while (strstr(text, what) == NULL) {
		if (poll(&p, 1, SOON_MS) != 1 || !hear(fd))
			return false;
	}
	return true;
}

/* Of a terminal, whose echo shows them, too. */
static int
count_typed(const char *name)
{
	int n = -1, fd = open(name, O_RDWR | O_NOCTTY);
	struct termios t;

	/* Or the bytes of a line would not count before its end. */
	if (fd == -1 || tcgetattr(fd, &t) == -1)
		return -1;
	t.c_lflag &= ~(tcflag_t)ICANON;
	tcsetattr(fd, TCSANOW, &t);
	if (ioctl(fd, FIONREAD, &n) == -1)
		n = -1;
	close(fd);
	return n;
}

int
main(void)
{
	char name[64];
	int fd, status = -1;
	pid_t pid;

	tap_time_limit(120);
	pid = forkpty(&fd, name, NULL, NULL);
	if (pid == -1)
		skip_all("no terminal: %s", strerror(errno));
	if (pid == 0)
		_exit(be_service());
	ok(wait_for(fd, "ready: 2 workers"), "ready");
	for (int i = 0; i <= 2; i++) {
		char line[64];

		snprintf(line, sizeof(line), "%d: a terminal 0, types 0", i);
		ok(strstr(text, line) != NULL, "%s", line);
	}
	ok(strstr(text, "the terminal: open 0, types 0") != NULL,
	    "there is none to be opened");
	is_int(count_typed(name), 0, "nothing was typed");
	is_int(write(fd, "\003", 1), 1, "^C");
	/* At the end of all processes that have the terminal. */
	while (hear(fd))
		continue;
	waitpid(pid, &status, 0);
	if (!is_int(status, 0, "it ends the service"))
		diag("%s", text);
	return done_testing();
}
