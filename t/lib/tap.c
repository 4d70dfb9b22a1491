/*
 * TAP from C; tap.h is the manual. Standard output is line-buffered, so that a
 * crash loses no line, and every program is bounded in time by alarm(2).
 */
#include "tap.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIME_LIMIT 180

static int tests;
static int failures;

static void
on_alarm(int signo)
{
	static const char text[] = "# the test ran out of time\n";

	(void)signo;
	if (write(STDERR_FILENO, text, sizeof(text) - 1) == -1) {
		_exit(125);
	}
	_exit(124);
}

__attribute__((constructor)) static void
begin(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGALRM, on_alarm);
	alarm(TIME_LIMIT);
}

void
tap_time_limit(unsigned int seconds)
{
	alarm(seconds);
}

/* Prints one comment line, newlines kept inside the comment. */
static void
comment(FILE *stream, const char *format, va_list args)
{
	char text[4096];
	char *rest = text, *line;

	vsnprintf(text, sizeof(text), format, args);
	fflush(stdout);
	while ((line = strsep(&rest, "\n")) != NULL) {
		fprintf(stream, "# %s\n", line);
	}
}

void
diag(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	comment(stderr, format, args);
	va_end(args);
}

void
note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	comment(stdout, format, args);
	va_end(args);
}

void
skip(int count, const char *format, ...)
{
	va_list args;

	while (count-- > 0) {
		va_start(args, format);
		printf("ok %d # SKIP ", ++tests);
		vprintf(format, args);
		printf("\n");
		va_end(args);
	}
}

void
skip_all(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("1..0 # SKIP ");
	vprintf(format, args);
	printf("\n");
	va_end(args);
	exit(0);
}

int
done_testing(void)
{
	printf("1..%d\n", tests);
	if (failures > 0) {
		diag("%d of %d tests failed", failures, tests);
	}
	return failures > 0 || tests == 0;
}

/* Prints the result; on failure, where it was. */
static int
report(int passed, const char *file, int line, const char *format, va_list args)
{
	printf("%sok %d - ", passed ? "" : "not ", ++tests);
	vprintf(format, args);
	printf("\n");
	if (!passed) {
		failures++;
		diag("failed at %s line %d", file, line);
	}
	return passed;
}

int
tap_ok(int passed, const char *expression, const char *file, int line,
    const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (!report(passed, file, line, format, args)) {
		diag("    false: %s", expression);
	}
	va_end(args);
	return passed;
}

int
tap_is_int(intmax_t got, intmax_t expected, const char *expression,
    const char *file, int line, const char *format, ...)
{
	int passed = got == expected;
	va_list args;

	va_start(args, format);
	if (!report(passed, file, line, format, args)) {
		diag("    %s\n     got: %jd\nexpected: %jd", expression, got,
		    expected);
	}
	va_end(args);
	return passed;
}

int
tap_is_str(const char *got, const char *expected, const char *expression,
    const char *file, int line, const char *format, ...)
{
	int passed = got == expected ||
	    (got != NULL && expected != NULL && strcmp(got, expected) == 0);
	va_list args;

	va_start(args, format);
	if (!report(passed, file, line, format, args)) {
		diag("    %s\n     got: '%s'\nexpected: '%s'", expression,
		    got != NULL ? got : "(null)",
		    expected != NULL ? expected : "(null)");
	}
	va_end(args);
	return passed;
}

int
tap_is_mem(const void *got, const void *expected, size_t length,
    const char *expression, const char *file, int line, const char *format, ...)
{
	const unsigned char *a = got, *b = expected;
	size_t at = 0;
	va_list args;

	while (at < length && a[at] == b[at]) {
		at++;
	}
	va_start(args, format);
	if (!report(at == length, file, line, format, args)) {
		diag("    %s differs at byte %zu of %zu\n     got: 0x%02x\n"
		     "expected: 0x%02x",
		    expression, at, length, a[at], b[at]);
	}
	va_end(args);
	return at == length;
}
