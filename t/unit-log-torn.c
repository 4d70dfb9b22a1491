/*
 * log.c, outlet.c: a file takes a part of a line, as on a full disk.  The part
 * is ended before the next line, and a new file begins with a whole line.
 * Files have a limit of size here, at which write(2) takes less.
 */
#include <fcntl.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "logger/outlet.h"
#include "tap.h"
#include "unit.h"

#define SMALL 40 /* bytes: less than two lines */

static char dir[] = "/tmp/unit-log-XXXXXX", path[64], text[4096];

static void
limit(rlim_t bytes)
{
	struct rlimit r;

	getrlimit(RLIMIT_FSIZE, &r);
	r.rlim_cur = bytes;
	setrlimit(RLIMIT_FSIZE, &r);
}

static const char *
contents(const char *of)
{
	int fd = open(of, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void
put_file(const char *what)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (write(fd, what, strlen(what)) != (ssize_t)strlen(what))
		skip_all("no file can be written");
	close(fd);
}

static void
test_direct(void)
{
	pfk_log_set_time(PFK_LOG_TIME_OFF);
	is_int(pfk_log_open(path), 0, "a log");
	limit(SMALL);
	pfk_log(PFK_INFO, "the first line of the log");
	pfk_log(PFK_INFO, "the second one, which is torn");
	pfk_log(PFK_INFO, "the third one");
	limit(RLIM_INFINITY); /* this test's own output may be a file */
	is_str(contents(path),
	    "the first line of the log\n"
	    "the second one",
	    "a part of a line");
	pfk_log(PFK_INFO, "the fourth one");
	pfk_log(PFK_INFO, "the fifth one");
	is_str(contents(path),
	    "the first line of the log\n"
	    "the second one\n"
	    "2 log lines dropped, File too large\n"
	    "the fourth one\n"
	    "the fifth one\n",
	    "it is ended before the next line");
}

/* A process that was killed has left it so. */
static void
test_open(void)
{
	put_file("half a line");
	is_int(pfk_log_reopen(), 0, "a file that ends in half a line");
	pfk_log(PFK_INFO, "a whole one");
	pfk_log(PFK_INFO, "another");
	is_str(contents(path), "half a line\na whole one\nanother\n",
	    "it is ended first");
}

static struct pfk__outlet outlet;

static void
put(const char *message)
{
	struct pfk__line line = {.process = "", .message = message};

	pfk__outlet_put(&outlet, &line);
}

static void
test_move(void)
{
	char other[80];
	int fd, saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	struct pfk__sink sink;
	bool all;

	snprintf(other, sizeof(other), "%s.1", path);
	put_file("half a line");
	is_int(pfk__sink_open(&sink, path), 0, "a file for the log process");
	pfk__outlet_init(&outlet, &sink);
	put("the first line");
	put("the second one, which is torn");
	put("the third one");
	limit(SMALL);
	all = pfk__outlet_write(&outlet);
	limit(RLIM_INFINITY);
	ok(!all, "it is full");
	is_str(contents(path), "half a line\nthe first line\nthe second on",
	    "with a part of a line");
	rename(path, other);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	/* The old one stays full: nothing more can be written to it. */
	close(sink.fd);
	sink.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	pfk__outlet_move(&outlet, fd);
	dup2(saved, STDERR_FILENO);
	close(saved);
	ok(strstr(contents(path), "the second one, which is torn\n") == text,
	    "another file begins with the whole line");
	ok(strstr(text, "\nthe third one\n") != NULL, "and has the next");
	is_str(contents(other), "half a line\nthe first line\nthe second on",
	    "the old one is as it was");
	pfk__sink_close(&sink);
	unlink(other);
}

int
main(void)
{
	int before;

	tap_time_limit(20);
	signal(SIGXFSZ, SIG_IGN);
	pfk_log_open("-");
	before = unit_count_fds();
	if (mkdtemp(dir) == NULL)
		skip_all("no temporary directory");
	snprintf(path, sizeof(path), "%s/log", dir);
	test_direct();
	test_open();
	pfk_log_open("-");
	test_move();
	is_int(unit_count_fds(), before, "no descriptor is left");
	unlink(path);
	rmdir(dir);
	return done_testing();
}
