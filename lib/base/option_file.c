/*
 * option_file.c: one table for argv and the configuration file; here the file.
 *
 * Layer: base.  The file is read whole before any of it counts, so that one that
 * was cut off, or lost its contents in a crash, changes nothing.  Then marks of
 * other systems' editors are taken out, and fparseln(3) does the lines.
 */
#include <errno.h>
#include <fcntl.h>
#include <libutil.h>
#include <prefork.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/option.h"

#define SIZE_MAX_BYTES (16u << 20)

struct text {
	char *base;
	size_t len;
	bool regular; /* a file, which can be read again */
};

/* lines */

static const struct pfk_option *
by_key(const struct pfk_option *table, const char *key)
{
	for (; table->name != NULL; table++) {
		if (!(table->flags & PFK_OPT_ARGV_ONLY) &&
		    strcmp(table->name, key) == 0)
			return table;
	}
	return NULL;
}

/* Split "key value" or "key = value" in place; value is NULL without one. */
static char *
split_line(char *line, char **value)
{
	static const char blank[] = " \t\r";
	char *key = line + strspn(line, blank), *end;

	for (end = key + strlen(key); end > key && strchr(blank, end[-1]);)
		*--end = '\0';
	end = key + strcspn(key, " \t=");
	*value = end + strspn(end, blank);
	if (**value == '=')
		*value += 1 + strspn(*value + 1, blank);
	else if (*value == end)
		*value = NULL;
	*end = '\0';
	return key;
}

static int
parse_line(const struct pfk_option *table, void *config, char *line, bool *seen,
    char *err, size_t size)
{
	char *value, *key = split_line(line, &value), range[64];
	const struct pfk_option *o;
	const char *errstr = NULL;

	if (*key == '\0' && value == NULL)
		return 0;
	o = by_key(table, key);
	if (o == NULL) {
		snprintf(err, size, "unknown key '%.100s'; see %s --help", key,
		    getprogname());
		return -1;
	}
	if (o->value != NULL && (value == NULL || *value == '\0')) {
		snprintf(err, size, "%s needs a value: %s", key, o->value);
		return -1;
	}
	if (pfk__option_parse(o, config, value, !seen[o - table], &errstr) ==
	    -1) {
		snprintf(err, size, "%s: bad value '%.100s': %s%s", key, value,
		    errstr, pfk__option_bounds(o, range, sizeof(range)));
		return -1;
	}
	seen[o - table] = true;
	return 0;
}

/* reading */

static int
fail(char *err, const char *path, size_t line, const char *why)
{
	if (line > 0)
		snprintf(err, PFK_ERROR_SIZE, "%s:%zu: %s", path, line, why);
	else
		snprintf(err, PFK_ERROR_SIZE, "%s: %s", path, why);
	errno = EINVAL;
	return -1;
}

/* Read all of fd; the buffer has room for one byte more. */
static int
read_all(int fd, struct text *t)
{
	size_t room = 0;
	ssize_t n;

	for (;;) {
		if (t->len + 1 >= room) {
			char *more;

			room = room == 0 ? 4096 : 2 * room;
			more = realloc(t->base, room);
			if (more == NULL)
				return -1;
			t->base = more;
		}
		n = read(fd, t->base + t->len, room - t->len - 1);
		if (n == 0)
			return 0;
		if (n == -1 && errno != EINTR)
			return -1;
		if (n > 0)
			t->len += (size_t)n;
		if (t->len > SIZE_MAX_BYTES) {
			errno = EFBIG;
			return -1;
		}
	}
}

static int
read_file(const char *path, struct text *t, char *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), rc = -1;
	struct stat st;

	if (fd != -1 && fstat(fd, &st) == 0) {
		t->regular = S_ISREG(st.st_mode);
		if (t->regular && geteuid() == 0 &&
		    (st.st_mode & S_IWOTH) != 0) {
			fail(err, path, 0,
			    "everybody may write to it, and root would obey; "
			    "chmod o-w");
			close(fd);
			return -1;
		}
		rc = read_all(fd, t);
	}
	if (rc == -1)
		snprintf(err, PFK_ERROR_SIZE, "cannot read %s: %s", path,
		    strerror(errno));
	if (fd != -1) {
		int saved_errno = errno;

		close(fd);
		errno = saved_errno;
	}
	return rc;
}

/* cleaning */

/* How long the UTF-8 sequence at s is, or 0 for none of several bytes. */
static size_t
sequence(const unsigned char *s, size_t left)
{
	size_t n = s[0] >= 0xf0 && s[0] < 0xf5 ? 4
	    : s[0] >= 0xe0                     ? 3
	    : s[0] >= 0xc2                     ? 2
					       : 0;

	if (s[0] >= 0xf5 || n > left)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	return n;
}

/* The blanks and the invisible marks of Unicode, by their bytes. */
static bool
is_one_of(const unsigned char *s, size_t n, const char *const *list)
{
	for (; *list != NULL; list++) {
		if (strlen(*list) == n && memcmp(s, *list, n) == 0)
			return true;
	}
	return false;
}

static bool
is_space(const unsigned char *s, size_t n)
{
	/* U+0085, U+00A0, U+1680, U+202F, U+205F, U+3000; U+2000 to U+200A. */
	static const char *const list[] = {"\xc2\x85", "\xc2\xa0",
	    "\xe1\x9a\x80", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80",
	    NULL};

	return is_one_of(s, n, list) ||
	    (n == 3 && s[0] == 0xe2 && s[1] == 0x80 && s[2] <= 0x8a);
}

static bool
is_mark(const unsigned char *s, size_t n)
{
	/* U+00AD; U+FEFF, the byte order mark. */
	static const char *const list[] = {"\xc2\xad", "\xef\xbb\xbf", NULL};

	if (is_one_of(s, n, list))
		return true;
	if (n != 3 || s[0] != 0xe2)
		return false;
	/* U+200B to U+200F, U+202A to U+202E; U+2060, U+2066 to U+2069. */
	return s[1] == 0x80
	    ? (s[2] >= 0x8b && s[2] <= 0x8f) || (s[2] >= 0xaa && s[2] <= 0xae)
	    : s[1] == 0x81 && (s[2] == 0xa0 || (s[2] >= 0xa6 && s[2] <= 0xa9));
}

/*
 * Leave plain blanks and newlines: CR before LF goes, Unicode's blanks become
 * one, as does the no-break space of Latin-1, and invisible marks go.
 */
static void
clean(struct text *t)
{
	const unsigned char *from = (const unsigned char *)t->base;
	size_t n = 0, i = 0;

	while (i < t->len) {
		size_t len = sequence(from + i, t->len - i), run = 0;

		while (i + run < t->len && from[i + run] == '\r')
			run++;
		if (run > 0 && i + run < t->len && from[i + run] == '\n') {
			i += run;
		} else if (len > 0 && is_space(from + i, len)) {
			t->base[n++] = ' ';
			i += len;
		} else if (len > 0 && is_mark(from + i, len)) {
			i += len;
		} else if (len == 0) {
			t->base[n++] = (char)(from[i] == 0xa0 ? ' ' : from[i]);
			i++;
		} else {
			memmove(t->base + n, from + i, len);
			n += len;
			i += len;
		}
	}
	t->len = n;
}

static size_t
line_of(const struct text *t, const char *at)
{
	size_t n = 1;

	for (const char *s = t->base; s < at; s++)
		n += *s == '\n';
	return n;
}

/* Refuse bytes that no configuration has. */
static int
check_bytes(const struct text *t, const char *path, char *err)
{
	const char *zero = memchr(t->base, '\0', t->len);
	size_t i = 0;

	if (t->len == 0)
		return fail(err, path, 0,
		    t->regular
			? "it is empty: cut off? for the default values, write "
			  "a comment into it, or name /dev/null"
			: "nothing came: a pipe can be read only once");
	if (t->len >= 2 &&
	    (memcmp(t->base, "\xff\xfe", 2) == 0 ||
		memcmp(t->base, "\xfe\xff", 2) == 0))
		return fail(err, path, 1, "it is UTF-16; save it as UTF-8");
	while (i < t->len && t->base[i] == '\0')
		i++;
	if (i == t->len)
		return fail(err, path, 1,
		    "it holds nothing but zero bytes: lost in a crash? write "
		    "it anew");
	if (zero != NULL)
		return fail(err, path, line_of(t, zero),
		    "holds a zero byte; is it a text file?");
	return 0;
}

/* The same of its lines, once it is clean. */
static int
check_lines(struct text *t, const char *path, char *err)
{
	const char *cr;
	size_t slashes = 0;

	/* The end of a file on DOS. */
	if (t->len > 0 && t->base[t->len - 1] == '\x1a')
		t->len--;
	cr = memchr(t->base, '\r', t->len);
	if (cr != NULL)
		return fail(err, path, line_of(t, cr),
		    "holds a carriage return that ends no line; end lines "
		    "with a newline");
	if (t->len == 0 || t->base[t->len - 1] != '\n')
		return fail(err, path, 0,
		    "the last line has no newline: half written? end it with "
		    "one");
	while (slashes + 1 < t->len && t->base[t->len - 2 - slashes] == '\\')
		slashes++;
	if (slashes % 2 == 1)
		return fail(err, path, 0,
		    "the last line ends with a backslash, and none follows: "
		    "half written?");
	return 0;
}

static int
parse_text(const struct pfk_option *table, void *config, struct text *t,
    const char *path, char *err)
{
	bool seen[PFK__OPTIONS_MAX] = {false};
	char what[PFK_ERROR_SIZE - 64], *line;
	FILE *f = fmemopen(t->base, t->len, "r");
	size_t number = 0;
	int rc = 0;

	if (f == NULL) {
		snprintf(err, PFK_ERROR_SIZE, "cannot read %s: %s", path,
		    strerror(errno));
		return -1;
	}
	while (rc == 0 &&
	    (line = fparseln(f, NULL, &number, NULL, FPARSELN_UNESCALL)) !=
		NULL) {
		rc = parse_line(table, config, line, seen, what, sizeof(what));
		free(line);
	}
	fclose(f);
	return rc == 0 ? 0 : fail(err, path, number, what);
}

int
pfk_options_file(const struct pfk_option *table, void *config, const char *path,
    char *err)
{
	struct text t = {0};
	int rc = -1, saved_errno;

	/* By its name: it may be in the place of a file that was meant. */
	if (strcmp(path, "/dev/null") == 0)
		return 0;
	if (pfk__options_fit(table, err) == -1)
		return -1;
	if (read_file(path, &t, err) == 0 && check_bytes(&t, path, err) == 0) {
		clean(&t);
		if (check_lines(&t, path, err) == 0)
			rc = parse_text(table, config, &t, path, err);
	}
	saved_errno = errno;
	free(t.base);
	errno = saved_errno;
	return rc;
}
