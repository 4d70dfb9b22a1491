/*
 * options.c: options of each type, in a configuration file, or after a zero byte in
 * the words of a command line.
 */
#include <prefork.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

#define WORDS_MAX 20

struct config {
	bool flag, on;
	int number;
	int64_t bytes;
	uint64_t ns;
	char *text;
	int custom;
};

static int
parse(void *field, const char *value, bool first, const char **errstr)
{
	int *n = field;

	(void)first;
	*n = (int)strlen(value);
	if (*n < 100)
		return 0;
	*errstr = "it is too long";
	return -1;
}

#define AT(field) .offset = offsetof(struct config, field)

static const struct pfk_option table[] = {
    {'f', "flag", .type = PFK_OPT_FLAG, AT(flag)},
    {'o', "on", "on|off", .type = PFK_OPT_ONOFF, AT(on)},
    {'n', "number", "N", .type = PFK_OPT_INT, AT(number), .max = 1000},
    {'b', "bytes", "SIZE", .type = PFK_OPT_SIZE, AT(bytes), .max = 1 << 30},
    {'s', "seconds", "SEC", .type = PFK_OPT_SECONDS, AT(ns), .max = 1000},
    {'t', "text", "TEXT", .type = PFK_OPT_STRING, AT(text)},
    {'c', "custom", "X", .type = PFK_OPT_CUSTOM, AT(custom), .parse = parse},
    {'a', "argument", "X", .type = PFK_OPT_STRING, AT(text),
	.flags = PFK_OPT_ARGV_ONLY},
    {0},
};

static void
judge(const struct config *c, int rc, const char *err)
{
	if ((rc == -1) != (err[0] != '\0') || strlen(err) >= PFK_ERROR_SIZE ||
	    c->number < 0 || c->number > 1000 || c->bytes < 0 ||
	    c->bytes > 1 << 30 || c->ns > 1000 * PFK_SECOND_NS)
		abort();
}

/* A word for each line. */
static void
parse_words(struct config *c, const uint8_t *data, size_t size)
{
	char err[PFK_ERROR_SIZE] = "", *text = malloc(size + 1), *at = text;
	char *argv[WORDS_MAX + 2] = {(char[]){"options"}};
	int argc = 1, rc;

	if (text == NULL)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	while (at != NULL && argc <= WORDS_MAX)
		argv[argc++] = strsep(&at, "\n");
	rc = pfk_options_argv(table, c, argc, argv, err);
	judge(c, rc, err);
	if (rc != -1 && (rc < 1 || rc > argc))
		abort();
	pfk_options_free(table, c);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config c = {0};
	char path[40], err[PFK_ERROR_SIZE] = "";
	int fd, rc;

	if (size > 0 && data[0] == 0) {
		parse_words(&c, data + 1, size - 1);
		return 0;
	}
	fd = memfd_create("options", MFD_CLOEXEC);
	/* Not one that everybody may write to. */
	if (fd == -1 || fchmod(fd, 0600) == -1 ||
	    write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = pfk_options_file(table, &c, path, err);
	judge(&c, rc, err);
	pfk_options_free(table, &c);
	close(fd);
	return 0;
}
