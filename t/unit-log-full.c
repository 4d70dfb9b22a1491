/*
 * log.c: the log's reader stands still.  No writer waits, and the number of
 * lost lines is logged.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "tap.h"
#include "unit.h"

#define LINES 3000 /* more than a pipe, a socket or a terminal holds */
#define TEXT "0123456789012345678901234567890123456789"

static char got[1 << 20];

/* All that the reader has now. */
static void
read_all(int fd)
{
	size_t len = 0;
	ssize_t n;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while ((n = read(fd, got + len, sizeof(got) - 1 - len)) > 0)
		len += (size_t)n;
	got[len] = '\0';
}

static int came, lost; /* lines of ours, and of those the lines that tell */

/* Count the lines up to one that is none of these; returns that. */
static const char *
count_lines(void)
{
	const char *line = got, *end;

	for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		int n;

		if (strncmp(line, TEXT, strlen(TEXT)) == 0)
			came++;
		else if (sscanf(line, "%d log lines dropped, reader", &n) == 1)
			lost += n;
		else
			break;
	}
	return line;
}

static void
fill(void)
{
	for (int i = 0; i < LINES; i++)
		pfk_log(PFK_INFO, "%s", TEXT);
}

/* The log goes to the other end of `reader`: fill it, empty it, and go on. */
static void
lose_and_tell(int reader, const char *name)
{
	came = lost = 0;
	fill();
	read_all(reader);
	is_str(count_lines(), "", "%s: whole lines", name);
	ok(came > 0 && came < LINES, "%s: %d, and nobody waits", name, came);
	pfk_log(PFK_INFO, "again");
	pfk_log(PFK_INFO, "and again");
	read_all(reader);
	is_str(count_lines(), "again\nand again\n", "%s: it goes on", name);
	is_int(came + lost, LINES, "%s: the number of lost lines is logged",
	    name);
}

static void
test_pipe(void)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) == -1)
		skip_all("no pipe");
	pfk__sink_take(pfk__log_sink(), fds[1]);
	lose_and_tell(fds[0], "pipe");
	is_int(fcntl(pfk__log_fd(), F_GETFL) & O_NONBLOCK, 0,
	    "pipe: its flags are others' too");
	fill();
	pfk__log_forked();
	read_all(fds[0]);
	pfk_log(PFK_INFO, "own");
	read_all(fds[0]);
	is_str(got, "own\n", "the parent logs the parent's losses");
	close(fds[0]);
}

static void
test_socket(void)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == -1)
		skip_all("no socket pair");
	pfk__sink_take(pfk__log_sink(), fds[1]);
	lose_and_tell(fds[0], "socket");
	close(fds[0]);
}

static void
test_fifo(void)
{
	char dir[] = "/tmp/unit-log-XXXXXX", path[64];
	int reader;

	if (mkdtemp(dir) == NULL)
		skip_all("no temporary folder");
	snprintf(path, sizeof(path), "%s/fifo", dir);
	mkfifo(path, 0600);
	is_int(pfk_log_open(path), 0, "a FIFO without a reader");
	pfk_log(PFK_INFO, "kept");
	reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	read_all(reader);
	is_str(got, "kept\n", "its reader comes");
	is_int(pfk_log_reopen(), 0, "opened anew");
	close(reader);
	pfk_log(PFK_INFO, "into the void");
	reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	pfk_log(PFK_INFO, "late");
	read_all(reader);
	is_str(got, "1 log line dropped, Broken pipe\nlate\n",
	    "its reader goes, and another comes");
	lose_and_tell(reader, "FIFO");
	close(reader);
	unlink(path);
	rmdir(dir);
}

/* With standard error away for as long. */
static void
on_stderr(int reader, int writer, void (*test)(int reader))
{
	int old = dup(STDERR_FILENO);

	dup2(writer, STDERR_FILENO);
	pfk_log_open("-");
	test(reader);
	dup2(old, STDERR_FILENO);
	close(old);
	pfk_log_open("-");
	close(reader);
	close(writer);
}

static void
test_stderr(int reader)
{
	lose_and_tell(reader, "standard error");
	is_int(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0,
	    "standard error: its flags are others' too");
	pfk_log_set_process("master");
	pfk_complain("oh");
	pfk_log_set_process("");
	read_all(reader);
	ok(strchr(got, '\n') == strrchr(got, '\n'), "a complaint comes once");
}

static void
test_terminal(int master)
{
	struct termios raw;

	tcgetattr(STDERR_FILENO, &raw);
	cfmakeraw(&raw);
	tcsetattr(STDERR_FILENO, TCSANOW, &raw);
	tcflow(STDERR_FILENO, TCOOFF); /* as ^S does */
	fill();
	tcflow(STDERR_FILENO, TCOON);
	read_all(master);
	is_str(got, "", "terminal: stopped, and nobody waits");
	came = lost = 0;
	pfk_log(PFK_INFO, "again");
	read_all(master);
	is_str(count_lines(), "again\n", "terminal: it goes on");
	is_int(lost, LINES, "terminal: the number of lost lines is logged");
	fill();
	pass("terminal: nobody reads, and nobody waits");
	read_all(master);
}

int
main(void)
{
	int fds[2], master, before;
	const char *name;

	tap_time_limit(20);
	signal(SIGPIPE, SIG_IGN);
	pfk_log_open("-");
	before = unit_count_fds();
	test_pipe();
	test_socket();
	test_fifo();
	if (pipe2(fds, O_CLOEXEC) == 0)
		on_stderr(fds[0], fds[1], test_stderr);
	master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master == -1 || grantpt(master) == -1 || unlockpt(master) == -1 ||
	    (name = ptsname(master)) == NULL)
		skip(3, "no terminal");
	else
		on_stderr(master, open(name, O_RDWR | O_NOCTTY | O_CLOEXEC),
		    test_terminal);
	is_int(unit_count_fds(), before, "no descriptor is left");
	return done_testing();
}
