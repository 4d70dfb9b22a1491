/*
 * log.c: one line, one write(2).
 */
#include "base/log.h"

#include <errno.h>
#include <prefork.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tap.h"

static int ear; /* the other end of the log: a packet is one write */

/* The next line, without its newline; "-" for none. */
static const char *
next_line(void)
{
	static char buf[4096];
	ssize_t n = recv(ear, buf, sizeof(buf) - 1, MSG_DONTWAIT);

	buf[n > 0 ? n : 0] = '\0';
	if (n <= 0 || buf[n - 1] != '\n')
		return n == -1 ? "-" : "no newline";
	buf[n - 1] = '\0';
	return buf;
}

static void
test_lines(void)
{
	char expected[100];

	pfk_log(PFK_INFO, "one %d", 1);
	is_str(next_line(), "one 1", "a line");
	is_str(next_line(), "-", "in one write");
	pfk_log_set_process("master");
	pfk_log(PFK_INFO, "two");
	snprintf(expected, sizeof(expected), "[master (%d)] two",
	    (int)getpid());
	is_str(next_line(), expected, "the process and its number");
	pfk_log_set_process("a-word-that-is-longer-than-31-bytes");
	is_int(strlen(pfk__log_process()), 31, "31 bytes of the word");
	pfk_log_set_process("");
	errno = ENOENT;
	pfk_warn("cannot open %s", "x");
	is_int(errno, ENOENT, "errno is preserved");
	is_str(next_line(), "cannot open x: No such file or directory",
	    "pfk_warn says errno's text");
}

static void
test_escapes(void)
{
	pfk_log(PFK_INFO, "a\nb\tc\rd\001\037\177\033[31m");
	is_str(next_line(), "a\\nb\\x09c\\x0dd\\x01\\x1f\\x7f\\x1b[31m",
	    "control bytes are escaped");
	pfk_log(PFK_INFO, "gr\303\274n \\ '\"");
	is_str(next_line(), "gr\303\274n \\ '\"", "nothing else is");
	pfk_log(PFK_INFO, "%s", "");
	is_str(next_line(), "", "an empty line");
}

static void
test_cut(void)
{
	char text[3000];
	const char *line;
	size_t n;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	pfk_log(PFK_INFO, "%s", text);
	n = strlen(next_line());
	ok(n > 980 && n < 1000, "cut at 1,000 bytes: %zu and a newline", n);
	is_str(next_line(), "-", "the rest is gone");
	memset(text, '\001', sizeof(text) - 1);
	pfk_log_set_process("worker-1023");
	pfk_log(PFK_INFO, "%s", text);
	line = next_line();
	n = strlen(line);
	ok(n > 980 && n < 1000, "escapes count: %zu", n);
	is_str(line + n - 4, "\\x01", "and are not cut in two");
	pfk_log_set_process("");
	errno = EIO;
	pfk_warn("%s", text);
	ok(strlen(next_line()) < 1000, "pfk_warn is cut too");
}

static void
test_levels(void)
{
	ok(pfk_log_wants(PFK_INFO) && !pfk_log_wants(PFK_DEBUG),
	    "PFK_INFO at first");
	pfk_log(PFK_DEBUG, "no");
	is_str(next_line(), "-", "less is not written");
	pfk_log_set_level(PFK_DEBUG);
	pfk_log(PFK_DEBUG, "yes");
	is_str(next_line(), "yes", "more is, when asked for");
	pfk_log_set_level(PFK_ERROR);
	pfk_warn("no");
	is_str(next_line(), "-", "or less");
	pfk_log(PFK_ERROR, "yes");
	is_str(next_line(), "yes", "errors always");
	pfk_log_set_level((enum pfk_level)77);
	pfk_log((enum pfk_level)50, "no");
	is_str(next_line(), "-",
	    "a message of an unknown level is not written");
	pfk_log(PFK_DEBUG, "yes");
	is_str(next_line(), "yes", "an unknown level stands for all levels");
	pfk_log_set_level(PFK_INFO);
}

/* The file's text. */
static const char *
text_of(const char *path)
{
	static char buf[200];
	FILE *f = fopen(path, "re");

	buf[f != NULL ? fread(buf, 1, sizeof(buf) - 1, f) : 0] = '\0';
	if (f != NULL)
		fclose(f);
	return buf;
}

static void
test_file(void)
{
	char dir[] = "/tmp/unit-log-XXXXXX", path[64], old[64], lost[64];
	struct stat st;

	if (mkdtemp(dir) == NULL)
		skip_all("no temporary folder");
	snprintf(path, sizeof(path), "%s/log", dir);
	snprintf(old, sizeof(old), "%s/log.1", dir);
	snprintf(lost, sizeof(lost), "%s/no/such", dir);
	umask(0);
	is_int(pfk_log_open(path), 0, "a file");
	ok(pfk__log_is_file(), "is one");
	ok(stat(path, &st) == 0 && (st.st_mode & 0777) == 0640, "mode 0640");
	pfk_log(PFK_INFO, "one");
	rename(path, old);
	pfk_log(PFK_INFO, "two");
	is_int(pfk_log_reopen(), 0, "reopened");
	pfk_log(PFK_INFO, "three");
	is_str(text_of(old), "one\ntwo\n", "until then in the old one");
	is_str(text_of(path), "three\n", "then in the new one");
	errno = 0;
	ok(pfk_log_open(lost) == -1 && errno == ENOENT, "no such folder");
	pfk_log(PFK_INFO, "four");
	is_str(text_of(path), "three\nfour\n", "the old target stays");
	unlink(path);
	unlink(old);
	rmdir(dir);
	errno = 0;
	ok(pfk_log_reopen() == -1 && errno == ENOENT, "it cannot be reopened");
	ok(pfk__log_fd() > 2, "the old one stays in use");
	is_int(pfk_log_open("-"), 0, "back to standard error");
	ok(!pfk__log_is_file(), "is none");
	is_int(pfk_log_reopen(), 0, "which is not reopened");
}

/* Standard error is an ear too, for as long as fd 2 is away. */
static void
test_complain(void)
{
	int old_stderr = dup(STDERR_FILENO), old_log = dup(pfk__log_fd());
	const char *lines[5];

	dup2(old_log, STDERR_FILENO);
	pfk_complain("no\n%s", "name");
	lines[0] = strdup(next_line());
	lines[1] = strdup(next_line());
	pfk_log_set_process("master");
	pfk_complain("named");
	lines[2] = strdup(next_line());
	lines[3] = strdup(next_line());
	lines[4] = strdup(next_line());
	dup2(old_stderr, STDERR_FILENO);
	close(old_stderr);
	close(old_log);
	pfk_log_set_process("");
	is_str(lines[0], "unit-log.t: no\\nname",
	    "complain: to standard error");
	is_str(lines[1], "-", "and before there is a name, only there");
	ok(strstr(lines[2], "[master (") == lines[2], "then to the log: %s",
	    lines[2]);
	is_str(lines[3], "unit-log.t: named", "and to standard error");
	is_str(lines[4], "-", "that is all");
	for (int i = 0; i < 5; i++)
		free((void *)(uintptr_t)lines[i]);
}

static char called[200];

static void
on_line(void *arg, const char *line)
{
	snprintf(called, sizeof(called), "%s%s", (const char *)arg, line);
}

static void
test_to(void)
{
	int old = dup(pfk__log_fd());

	is_int(pfk_log_to(on_line, (void *)(uintptr_t) "> "), 0, "to a call");
	pfk_log(PFK_INFO, "a\nb");
	is_str(called, "> a\\nb", "it gets the line, without a newline");
	is_str(next_line(), "-", "and the old target does not");
	pfk_log_set_format(PFK_LOG_JSON);
	pfk_log(PFK_WARNING, "c");
	ok(strstr(called, "\"message\":\"c\"") != NULL, "in the form asked: %s",
	    called);
	pfk_log_set_format(PFK_LOG_TEXT);
	is_int(pfk_log_reopen(), 0, "there is nothing to reopen");
	pfk__sink_close(pfk__log_sink());
	pfk__sink_take(pfk__log_sink(), old);
	errno = 0;
	ok(pfk_log_to(NULL, NULL) == -1 && errno == EINVAL, "NULL is none");
	next_line();
}

int
main(void)
{
	int fds[2];

	is_int(pfk__log_fd(), STDERR_FILENO, "standard error at first");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == -1)
		skip_all("no socket pair");
	ear = fds[0];
	pfk__sink_take(pfk__log_sink(), fds[1]);
	is_int(pfk__log_fd(), fds[1], "another descriptor");
	test_lines();
	test_escapes();
	test_cut();
	test_levels();
	test_to();
	test_complain();
	test_file();
	close(ear);
	return done_testing();
}
