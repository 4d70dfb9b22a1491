/*
 * option_file.c: files that were made by other systems' editors, files that
 * lost their contents, pipes, and a table that is too long.  unit-option.c tests
 * the lines.
 */
#include <errno.h>
#include <fcntl.h>
#include <prefork.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tap.h"

struct settings {
	bool flag;
	int number;
	char *string;
};

#define AT(field) .offset = offsetof(struct settings, field)

static const struct pfk_option table[] = {
    {0, "flag", NULL, PFK_OPT_FLAG, AT(flag), .help = "a flag"},
    {0, "number", "N", PFK_OPT_INT, AT(number), .min = 1, .max = 100,
	.help = "a number"},
    {0, "string", "TEXT", PFK_OPT_STRING, AT(string), .help = "a text"},
    {0},
};

static struct settings settings;
static char error[PFK_ERROR_SIZE];
static char path[] = "/tmp/unit-option-file-XXXXXX";

static void
begin(void)
{
	pfk_options_free(table, &settings);
	memset(&settings, 0, sizeof(settings));
	error[0] = '\0';
	errno = 0;
}

static void
write_file(const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (write(fd, text, len) != (ssize_t)len)
		diag("cannot write %s", path);
	close(fd);
}

static int
file_of(const char *text, size_t len)
{
	write_file(text, len);
	return pfk_options_file(table, &settings, path, error);
}

static void
good_file(const char *text)
{
	begin();
	is_int(file_of(text, strlen(text)), 0, "a file of %zu bytes",
	    strlen(text));
	is_str(error, "", "no complaint");
}

static void
bad_file(const char *text, int line, const char *what)
{
	char place[64];

	begin();
	snprintf(place, sizeof(place), "%s:%d: ", path, line);
	ok(file_of(text, strlen(text)) == -1 && errno == EINVAL,
	    "a bad file: %s", what);
	ok(strncmp(error, place, strlen(place)) == 0 &&
		strstr(error, what) != NULL,
	    "%s", error);
}

/* Bytes that editors of other systems leave in a file. */
static void
test_foreign_file(void)
{
	good_file("\xef\xbb\xbfnumber 5\n");
	is_int(settings.number, 5, "a byte order mark");
	good_file("number 4\n\xef\xbb\xbfnumber 5\n");
	is_int(settings.number, 5, "one in the middle, of two files in one");
	good_file("\xc2\xa0number\xc2\xa0"
		  "5\xe2\x80\xaf\nstring\xe3\x80\x80"
		  "a\xe2\x80\x89z\n");
	is_int(settings.number, 5, "no-break spaces");
	is_str(settings.string, "a z", "other spaces of Unicode");
	good_file("number\xa0"
		  "5\nstring \xc3\xa0 la\n");
	is_int(settings.number, 5, "the no-break space of Latin-1");
	is_str(settings.string, "\xc3\xa0 la", "its byte in a letter stays");
	good_file("number 5\xe2\x80\x8b\n");
	is_int(settings.number, 5, "an invisible mark");
	good_file("\xe2\x80\x8enum\xc2\xad"
		  "ber\xc2\x85"
		  "5\xe2\x81\xa9\n");
	is_int(settings.number, 5, "marks of direction, and of a hyphen");
	good_file("# nothing\n");
	good_file("number \\\r\n5\r\nstring a\\\\\r\n");
	is_int(settings.number, 5, "CR LF and a continued line");
	is_str(settings.string, "a\\", "CR LF and an escaped backslash");
	good_file("flag\r\r\n"
		  "number 5\r\n\x1a");
	is_int(settings.number, 5, "CR CR LF, and the end of a file on DOS");
	bad_file("number 5\n\nflag\rother\r\n", 3, "carriage return");
	bad_file("number 5\rflag\r", 1, "carriage return");
	bad_file("\xff\xfen\n", 1, "UTF-16");
	bad_file("\xfe\xffn\n", 1, "UTF-16");
	bad_file("number\xc2\n", 1, "unknown key");
}

/* Read as a pipe that everybody has closed. */
static void
test_pipe(void)
{
	char name[40];
	int fds[2];

	if (pipe(fds) == -1)
		return;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fds[0]);
	if (write(fds[1], "number 5\n", 9) != 9)
		diag("cannot write");
	close(fds[1]);
	begin();
	is_int(pfk_options_file(table, &settings, name, error), 0, "a pipe");
	is_int(settings.number, 5, "is read");
	begin();
	is_int(pfk_options_file(table, &settings, name, error), -1,
	    "but not twice");
	ok(errno == EINVAL && strstr(error, "only once") != NULL, "%s", error);
	close(fds[0]);
}

/* A whole file that must not be taken for one. */
static void
useless_file(const char *text, size_t len, const char *why)
{
	begin();
	settings.number = 7;
	ok(file_of(text, len) == -1 && errno == EINVAL, "useless: %s", why);
	ok(strstr(error, path) != NULL && strstr(error, why) != NULL, "%s",
	    error);
	is_int(settings.number, 7, "nothing of it counts");
}

static void
test_useless_file(void)
{
	static const char zeros[5000];

	useless_file("", 0, "it is empty");
	useless_file(zeros, sizeof(zeros), "nothing but zero bytes");
	useless_file("\n\nx\0\n", 5, ":3: holds a zero byte");
	useless_file("number 5\nflag", 13, "no newline");
	useless_file("number 5\nflag \\\n", 16, "backslash");
	useless_file("\xef\xbb\xbf", 3, "no newline");
	begin();
	is_int(pfk_options_file(table, &settings, "/dev/null", error), 0,
	    "/dev/null is no file");
	begin();
	ok(pfk_options_file(table, &settings, "/dev/zero", error) == -1 &&
		errno == EFBIG,
	    "%s", error);
	if (geteuid() != 0) {
		skip(1, "not root");
		return;
	}
	chmod(path, 0666);
	useless_file("number 5\n", 9, "everybody may write");
	chmod(path, 0600);
}

/* The parsers have an array with a place for each option. */
static void
test_long_table(void)
{
	struct pfk_option options[130] = {{0}};
	char word[] = "--o128", *argv[] = {word, word, NULL};
	char names[129][8];
	bool flag = false;

	for (int i = 0; i < 129; i++) {
		snprintf(names[i], sizeof(names[i]), "o%d", i);
		options[i] = (struct pfk_option){.name = names[i],
		    .type = PFK_OPT_FLAG,
		    .help = "a flag"};
	}
	is_int(pfk_options_argv(options, &flag, 2, argv, error), -1,
	    "argv: a table of 129 options");
	is_int(errno, E2BIG, "E2BIG");
	is_str(error,
	    "the program has a table of 129 options, and 128 is the most",
	    "the message");
	error[0] = '\0';
	write_file("o128\n", 5);
	is_int(pfk_options_file(options, &flag, path, error), -1,
	    "file: a table of 129 options");
	is_int(errno, E2BIG, "E2BIG");
	is_str(error,
	    "the program has a table of 129 options, and 128 is the most",
	    "the message");
	options[128].name = NULL;
	write_file("o127\n", 5);
	is_int(pfk_options_file(options, &flag, path, error), 0,
	    "file: a table of 128 options");
}

int
main(void)
{
	int fd = mkstemp(path);

	if (fd == -1)
		skip_all("no temporary file");
	close(fd);
	test_foreign_file();
	test_pipe();
	test_useless_file();
	test_long_table();
	begin();
	unlink(path);
	return done_testing();
}
