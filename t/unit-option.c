/*
 * option.c and option_print.c: one table for argv, file, usage and dump.
 */
#include <errno.h>
#include <fcntl.h>
#include <prefork.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"

#define LIST_MAX 8
#define ARGS_MAX 20

struct list {
	char items[LIST_MAX][16];
	int len;
};

struct settings {
	bool flag, other, onoff, hidden;
	int number;
	int64_t size;
	uint64_t seconds_ns;
	char *string;
	struct list list;
};

static int
parse_list(void *field, const char *value, bool first, const char **errstr)
{
	struct list *l = field;

	if (first)
		l->len = 0;
	if (l->len == LIST_MAX || strlen(value) >= sizeof(l->items[0])) {
		*errstr = "too much";
		return -1;
	}
	strlcpy(l->items[l->len++], value, sizeof(l->items[0]));
	return 0;
}

static bool
format_list(const void *field, int i, char *buf, size_t size)
{
	const struct list *l = field;

	if (i >= l->len)
		return false;
	strlcpy(buf, l->items[i], size);
	return true;
}

#define AT(field) .offset = offsetof(struct settings, field)

static const struct pfk_option table[] = {
    {'f', "flag", NULL, PFK_OPT_FLAG, AT(flag), .help = "a flag"},
    {'o', "other", NULL, PFK_OPT_FLAG, AT(other), .help = "another"},
    {0, "onoff", "on|off", PFK_OPT_ONOFF, AT(onoff), .help = "a switch"},
    {'n', "number", "N", PFK_OPT_INT, AT(number), .min = 1, .max = 100,
	.help = "a number whose help is so long that it takes more than one "
		"line of the page"},
    {0, "size", "BYTES", PFK_OPT_SIZE, AT(size), .min = 10, .max = 1 << 20,
	.help = "a size"},
    {'s', "seconds", "SEC", PFK_OPT_SECONDS, AT(seconds_ns), .max = 60,
	.help = "a time"},
    {'S', "string", "TEXT", PFK_OPT_STRING, AT(string), .help = "a text"},
    {'l', "list", "ITEM", PFK_OPT_CUSTOM, AT(list), .parse = parse_list,
	.format = format_list, .help = "a list"},
    {'h', "hidden", NULL, PFK_OPT_FLAG, PFK_OPT_ARGV_ONLY, AT(hidden),
	.help = "not in a file"},
    {0},
};

static struct settings settings;
static char error[PFK_ERROR_SIZE];
static char path[] = "/tmp/unit-option-XXXXXX";

static void
begin(void)
{
	pfk_options_free(table, &settings);
	memset(&settings, 0, sizeof(settings));
	error[0] = '\0';
	errno = 0;
}

/* Parse the words of a line, cut at blanks. */
static int
argv_of(const char *words)
{
	static char text[300];
	char *argv[ARGS_MAX] = {(char *)(uintptr_t) "unit"}, *rest = text;
	int argc = 1;

	strlcpy(text, words, sizeof(text));
	while (rest != NULL && argc < ARGS_MAX - 1)
		argv[argc++] = strsep(&rest, " ");
	if (words[0] == '\0')
		argc = 1;
	argv[argc] = NULL;
	return pfk_options_argv(table, &settings, argc, argv, error);
}

static int
file_of(const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (write(fd, text, len) != (ssize_t)len)
		diag("cannot write %s", path);
	close(fd);
	return pfk_options_file(table, &settings, path, error);
}

static void
good_argv(const char *words, int operand)
{
	begin();
	is_int(argv_of(words), operand, "%s", words);
	is_str(error, "", "%s: no complaint", words);
}

/* It fails, and the message has both texts. */
static void
bad_argv(const char *words, const char *what, const char *cure)
{
	begin();
	ok(argv_of(words) == -1 && errno == EINVAL, "%s", words);
	ok(strstr(error, what) != NULL && strstr(error, cure) != NULL, "%s: %s",
	    words, error);
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

static void
test_argv(void)
{
	good_argv("", 1);
	good_argv("-f -n 7 --onoff on word -o", 6);
	ok(settings.flag && settings.onoff && settings.number == 7 &&
		!settings.other,
	    "options end at the first operand");
	good_argv("-fon9 --size=64k --seconds 1.5 -S text", 7);
	ok(settings.flag && settings.other && settings.number == 9,
	    "short ones together");
	is_int(settings.size, 65536, "a size");
	is_int(settings.seconds_ns, 1500 * PFK_MSEC_NS, "a time");
	is_str(settings.string, "text", "a text");
	good_argv("-S one -S two -l a -l b --list c", 11);
	is_str(settings.string, "two", "the last text wins");
	ok(settings.list.len == 3 && strcmp(settings.list.items[2], "c") == 0,
	    "a list grows");
	is_int(argv_of("-l d"), 3, "from another source");
	ok(settings.list.len == 1 && strcmp(settings.list.items[0], "d") == 0,
	    "it starts anew");
	good_argv("-h -- -f", 3);
	ok(settings.hidden && !settings.flag, "-- ends the options");
}

static void
test_bad_argv(void)
{
	bad_argv("-Z", "-Z", "--help");
	bad_argv("-fZ", "-Z", "--help");
	bad_argv("--nothing", "--nothing", "--help");
	bad_argv("--o", "--o", "ambiguous");
	bad_argv("-n", "--number needs a value", "N");
	bad_argv("--size", "--size needs a value", "BYTES");
	bad_argv("--flag=on", "--flag takes no value", "");
	bad_argv("-n 0", "--number", "1 to 100");
	bad_argv("-n 101", "'101'", "1 to 100");
	bad_argv("-n -1", "'-1'", "1 to 100");
	bad_argv("-n 7x", "'7x'", "1 to 100");
	bad_argv("-n +7", "'+7'", "1 to 100");
	bad_argv("-n\t7", "whole number", "1 to 100");
	bad_argv("-n 0x7", "'0x7'", "1 to 100");
	bad_argv("-n --7", "'--7'", "1 to 100");
	bad_argv("-n 99999999999999999999", "--number", "too large");
	bad_argv("--onoff maybe", "'maybe'", "on or off");
	bad_argv("--list 12345678901234567890", "--list", "too much");
	bad_argv("--size 9", "--size", "too small");
	bad_argv("--size 2M", "--size", "too large");
	bad_argv("--size 99999999999T", "--size", "10 to 1048576");
	bad_argv("--size -64", "'-64'", "such as");
	bad_argv("--size k", "'k'", "such as");
	bad_argv("--size 64q", "'64q'", "such as");
	bad_argv("--size 64kk", "'64kk'", "such as");
	bad_argv("--size 64kilo", "'64kilo'", "such as");
	bad_argv("-s 61", "--seconds", "0 to 60");
	bad_argv("-s -1", "--seconds", "too small");
	bad_argv("-s 1s", "'1s'", "number of seconds");
	bad_argv("-s 60.000000001", "--seconds", "too large");
	bad_argv("-s 99999999999999999999999999", "--seconds", "too large");
	bad_argv("-s 18446744073.709551616", "--seconds", "too large");
	bad_argv("-s +1", "'+1'", "number of seconds");
	bad_argv("-s -0", "'-0'", "too small");
	bad_argv("-s -0.5", "'-0.5'", "number of seconds");
	bad_argv("-s .", "'.'", "number of seconds");
	bad_argv("-s 1.2.3", "'1.2.3'", "number of seconds");
	bad_argv("-s 1e1", "'1e1'", "number of seconds");
	bad_argv("-s 1e-10", "'1e-10'", "number of seconds");
	bad_argv("-s 1,5", "'1,5'", "number of seconds");
	bad_argv("-s\t1", "number of seconds", "");
	bad_argv("-s nan", "'nan'", "number of seconds");
	bad_argv("-s inf", "'inf'", "number of seconds");
	bad_argv("-s 0x10", "'0x10'", "number of seconds");
}

static void
test_numbers(void)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} times[] = {{"0", 0}, {"60", 60 * PFK_SECOND_NS},
	    {"007.50", 7500 * PFK_MSEC_NS}, {".5", 500 * PFK_MSEC_NS},
	    {"1.", PFK_SECOND_NS}, {"0.000000001", 1}, {"0.0000000001", 1},
	    {"0.0000000000000000000000001", 1}, {"1.0000000010", 1000000001},
	    {"1.9999999999", 2 * PFK_SECOND_NS}};
	char words[80];

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		snprintf(words, sizeof(words), "-s %s", times[i].text);
		good_argv(words, 3);
		is_int(settings.seconds_ns, times[i].ns, "%s", words);
	}
	good_argv("--size 010", 3);
	is_int(settings.size, 10, "a leading zero is not octal");
	good_argv("--size 0099k -n 08", 5);
	is_int(settings.size, 99 * 1024, "not with a suffix either");
	is_int(settings.number, 8, "nor in a number");
}

static void
test_file(void)
{
	good_file("\n");
	good_file("\n\n  \n# only\n\t# comments\n");
	good_file("flag\n"
		  "number 5\nsize=64k\nonoff = on # really\r\n"
		  "\tstring   two words  \r\n");
	ok(settings.flag && settings.onoff && settings.number == 5 &&
		settings.size == 65536,
	    "key, key value, key=value, key = value");
	is_str(settings.string, "two words", "blanks around are none");
	good_file("flag on\nother yes\nflag off\n");
	ok(!settings.flag && settings.other, "a flag's values");
	good_file("string a\\#b \\\\ # not this\nstring \\\n  joined\n");
	is_str(settings.string, "joined", "a line goes on after a backslash");
	good_file("string a\\#b\\\\c # not this\n");
	is_str(settings.string, "a#b\\c", "a backslash escapes");
	good_file("list a\nlist b\n");
	is_int(settings.list.len, 2, "a list grows");
	is_int(argv_of("-l c"), 3, "argv after it");
	is_int(settings.list.len, 1, "starts anew");
	is_int(file_of("list d\nlist e\n", 14), 0, "and a file");
	is_int(settings.list.len, 2, "does too");
}

static void
test_bad_file(void)
{
	bad_file("flag\n\n# x\nnothing 1\n", 4, "unknown key 'nothing'");
	bad_file("hidden\n", 1, "unknown key 'hidden'");
	bad_file("Flag\n", 1, "unknown key 'Flag'");
	bad_file("fla\n", 1, "unknown key 'fla'");
	bad_file("= 7\n", 1, "unknown key ''");
	bad_file("number\n", 1, "number needs a value: N");
	bad_file("number =\n", 1, "number needs a value: N");
	bad_file("number 7 8\n", 1, "'7 8'");
	bad_file("number 101\n", 1, "1 to 100");
	bad_file("flag maybe\n", 1, "on or off");
	bad_file("\nsize 64kk\n", 2, "'64kk'");
}

static void
test_odd_file(void)
{
	size_t n = 200000;
	char *big = malloc(n);

	begin();
	is_int(file_of("flag\nother", 10), -1, "no newline at the end");
	is_int(errno, EINVAL, "is invalid");
	ok(strstr(error, path) != NULL && strstr(error, "newline") != NULL,
	    "%s", error);
	ok(!settings.flag, "and nothing of it counts");
	begin();
	is_int(file_of("flag\nfl\0ag\n", 11), -1, "a zero byte");
	ok(strstr(error, ":2: ") != NULL && strstr(error, "zero") != NULL, "%s",
	    error);
	memset(big, 'x', n);
	strlcpy(big, "string ", n);
	big[7] = 'x';
	big[n - 1] = '\n';
	begin();
	is_int(file_of(big, n), 0, "a long line");
	is_int(strlen(settings.string), n - 8, "is read whole");
	strlcpy(big, "number ", n);
	big[7] = 'x';
	begin();
	is_int(file_of(big, n), -1, "a long bad value");
	ok(strncmp(error, path, strlen(path)) == 0 &&
		strlen(error) < sizeof(error),
	    "has a short message");
	free(big);
	begin();
	ok(pfk_options_file(table, &settings, "/nonexistent/x", error) == -1 &&
		errno == ENOENT && strstr(error, "/nonexistent/x") != NULL,
	    "%s", error);
	ok(pfk_options_file(table, &settings, "/", error) == -1 &&
		errno == EISDIR,
	    "%s", error);
}

/* The text that the printer writes. */
static size_t
printed(void (*print)(int fd), char *buf, size_t size)
{
	FILE *f = tmpfile();
	size_t n;

	print(fileno(f));
	rewind(f);
	n = fread(buf, 1, size - 1, f);
	buf[n] = '\0';
	fclose(f);
	return n;
}

static void
dump(int fd)
{
	pfk_options_dump(table, &settings, fd);
}

static void
usage(int fd)
{
	pfk_options_usage(table, fd);
}

static void
round_trip(const char *string)
{
	char first[2000], second[2000];
	size_t n;

	free(settings.string);
	settings.string = strdup(string);
	n = printed(dump, first, sizeof(first));
	begin();
	is_int(file_of(first, n), 0, "'%s': the dump is a file", string);
	is_str(settings.string, string, "the text is the same");
	printed(dump, second, sizeof(second));
	is_str(second, first, "and all the rest");
}

static void
test_dump(void)
{
	char text[2000];

	good_argv("-f -n 7 --size 1000 -s 0.25 -S x -l a -l b -h", 15);
	printed(dump, text, sizeof(text));
	is_str(text,
	    "flag on\nother off\nonoff off\n"
	    "number 7\nsize 1000\n"
	    "seconds 0.25\nstring x\nlist a\nlist b\n",
	    "the dump");
	round_trip("two words");
	round_trip("a=b");
	round_trip("back\\slash\\");
	round_trip("number#1");
	begin();
	printed(dump, text, sizeof(text));
	is_str(text, "flag off\nother off\nonoff off\nseconds 0\n",
	    "unset options are not in it");
}

static void
test_diff(void)
{
	struct settings was = {.number = 7, .onoff = true}, is = was;
	char text[100], string[] = "abc";

	is_int(pfk_options_diff(table, &was, &is, text, sizeof(text)), 0,
	    "no difference");
	is_str(text, "", "and no text");
	is.number = 8;
	is.hidden = true; /* not a key of the file */
	is.string = string;
	strlcpy(is.list.items[0], "a", sizeof(is.list.items[0]));
	strlcpy(is.list.items[1], "b", sizeof(is.list.items[1]));
	is.list.len = 2;
	is_int(pfk_options_diff(table, &was, &is, text, sizeof(text)), 3,
	    "three differ");
	is_str(text, "number 7 -> 8, string none -> abc, list none -> a b",
	    "and how");
	is_int(pfk_options_diff(table, &was, &is, text, 20), 3,
	    "little room: all are counted");
	is_str(text, "number 7 -> 8", "and none is cut");
}

static void
test_usage(void)
{
	char text[2000], *rest = text, *line;
	int wide = 0;

	printed(usage, text, sizeof(text));
	ok(strstr(text, "  -n, --number N ") != NULL, "usage: a short option");
	ok(strstr(text, "      --size BYTES ") != NULL, "usage: a long one");
	ok(strstr(text, "-h, --hidden ") != NULL, "usage: all of them");
	while ((line = strsep(&rest, "\n")) != NULL)
		wide += strlen(line) >= 80;
	is_int(wide, 0, "usage: no wide line");
}

int
main(void)
{
	int fd = mkstemp(path);

	if (fd == -1)
		skip_all("no temporary file");
	close(fd);
	test_argv();
	test_bad_argv();
	test_numbers();
	test_file();
	test_bad_file();
	test_odd_file();
	test_dump();
	test_diff();
	test_usage();
	begin();
	unlink(path);
	return done_testing();
}
