/*
 * orphans.c: strangers connect and say nothing, send descriptors that close(2) would
 * wait for, for hours, and lie. The workers of a dead master are found all the same, at once.
 */
#include <poll.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "event/loop.h"
#include "linger.h"
#include "process/control.h"
#include "process/instance.h"
#include "process/takeover.h"
#include "tap.h"
#include "tree.h"
#include "unit.h"

/* A wait is one of nine hours: then the test is killed. */
#define PATIENCE_S 60
#define ORPHANS_MAX 8
#define STRANGER 65534
/* The whole wait has 400. */
#define LONG_MS 300

static char path[PFK_CONTROL_SIZE], err[PFK_ERROR_SIZE];
static struct pfk_orphan list[ORPHANS_MAX];

static const struct pfk__knock honest = {.first = PFK__CONTROL_BINARY,
    .version = PFK__KNOCK_VERSION,
    .message_bytes = sizeof(struct pfk__message),
    .slot = 0,
    .workers = 1,
    .generation = 1};

/* The socket of a master that is dead. */
static void
leave_stale(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		const struct pfk_master_config config = {.control = path};
		struct pfk__instance i;

		_exit(pfk__instance_open(&i, &config, err) == EX_OK ? 0 : 1);
	}
	waitpid(pid, NULL, 0);
	ok(access(path, F_OK) == 0, "a dead master's socket");
}

/* As soon as somebody listens. */
static int
connect_to_it(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strlcpy(sun.sun_path, path, sizeof(sun.sun_path));
	while (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1)
		poll(NULL, 0, 1);
	return fd;
}

static void
send_lingering(int fd, const void *buf, size_t len)
{
	int lingering = linger_socket();

	linger_send(fd, buf, len, &lingering, 1);
	close(lingering);
}

static void
be_strangers_and_an_orphan(void)
{
	static int silent; /* stays open */

	silent = connect_to_it();
	if (silent == -1)
		_exit(1);
	send_lingering(connect_to_it(), "x", 1);
	send_lingering(connect_to_it(), &honest, sizeof(honest));
	send_lingering(connect_to_it(), "x", 1);
}

static void
be_a_stranger(void)
{
	if (setuid(STRANGER) == -1)
		_exit(1);
	send_lingering(connect_to_it(), &honest, sizeof(honest));
}

/* As prefork-ctl does, while another one looks for orphans. */
static void
be_a_client(void)
{
	char text[8] = "";
	int fd = connect_to_it();

	unit_write(fd, "1 status\n", 9);
	unit_read(fd, text, 7);
	_exit(strcmp(text, "ERR 75 ") == 0 ? 0 : 1);
}

static pid_t
start(void (*act)(void))
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		act();
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

static void
test_order(void)
{
	pid_t pid = start(be_a_client);
	int status = -1;

	is_int(pfk_orphans(path, list, ORPHANS_MAX, err), 0,
	    "an order is no orphan");
	waitpid(pid, &status, 0);
	is_int(status, 0, "and gets an answer");
}

static void
test_found(void)
{
	int before = unit_count_fds();
	pid_t pid = start(be_strangers_and_an_orphan);
	int n = pfk_orphans(path, list, ORPHANS_MAX, err);

	is_int(n, 1, "an orphan among strangers is found");
	is_int(n == 1 ? list[0].pid : 0, pid, "with its pid");
	is_int(n == 1 ? list[0].slot : -1, 0, "and its slot");
	is_int(unit_count_fds(), before, "nothing is left open");
	end(pid);
}

/* It cannot keep others from being found. */
static void
test_stranger(void)
{
	uint64_t begun;
	pid_t pid;

	if (geteuid() != 0) {
		skip(1, "only root can become a stranger");
		return;
	}
	pid = start(be_a_stranger);
	begun = pfk__clock_now();
	pfk_orphans(path, list, ORPHANS_MAX, err);
	ok(pfk__clock_now() - begun > LONG_MS * PFK_MSEC_NS,
	    "a stranger does not end the wait");
	end(pid);
}

int
main(void)
{
	const char *dir = tree_make();

	snprintf(path, sizeof(path), "%s/x.sock", dir);
	if (chmod(dir, 0711) == -1)
		skip_all("no directory");
	alarm(PATIENCE_S);
	leave_stale();
	test_found();
	test_order();
	test_stranger();
	alarm(0);
	tree_remove();
	return done_testing();
}
