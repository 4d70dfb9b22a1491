/*
 * options.c: a configuration file with options of each type.
 */
#include <prefork.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config c = {0};
	char path[40], err[PFK_ERROR_SIZE] = "";
	int fd = memfd_create("options", MFD_CLOEXEC), rc;

	/* Not one that everybody may write to. */
	if (fd == -1 || fchmod(fd, 0600) == -1 ||
	    write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = pfk_options_file(table, &c, path, err);
	if ((rc == -1) != (err[0] != '\0') || strlen(err) >= sizeof(err) ||
	    c.number < 0 || c.number > 1000 || c.bytes < 0 ||
	    c.bytes > 1 << 30 || c.ns > 1000 * PFK_SECOND_NS)
		abort();
	pfk_options_free(table, &c);
	close(fd);
	return 0;
}
