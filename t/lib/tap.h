/*
 * TAP from C: the counterpart of Test::More in the Perl tests.
 *
 * 	#include "tap.h"
 *
 * 	int
 * 	main(void)
 * 	{
 * 		ok(1 + 1 == 2, "one and one is %d", 2);
 * 		is_int(strlen("abc"), 3, "length");
 * 		is_str(name, "worker", "name");
 * 		return done_testing();
 * 	}
 *
 * Every test takes a printf format and arguments as its name, and returns
 * whether it passed. A failure shows file, line and both values. A program
 * that runs longer than 180 seconds is ended; tap_time_limit() changes that.
 * A child forked by a test must leave by _exit(2), and test nothing.
 */
#ifndef TAP_H
#define TAP_H

#include <stddef.h>
#include <stdint.h>

#define TAP_PRINTF(f, a) __attribute__((format(printf, f, a)))

#define ok(condition, ...) \
	tap_ok(!!(condition), #condition, __FILE__, __LINE__, __VA_ARGS__)
#define is_int(got, expected, ...) \
	tap_is_int((intmax_t)(got), (intmax_t)(expected), #got, __FILE__, \
	    __LINE__, __VA_ARGS__)
/* Either string may be NULL, which equals only NULL. */
#define is_str(got, expected, ...) \
	tap_is_str((got), (expected), #got, __FILE__, __LINE__, __VA_ARGS__)
#define is_mem(got, expected, length, ...) \
	tap_is_mem((got), (expected), (length), #got, __FILE__, __LINE__, \
	    __VA_ARGS__)
#define pass(...) tap_ok(1, "", __FILE__, __LINE__, __VA_ARGS__)
#define fail(...) tap_ok(0, "fail()", __FILE__, __LINE__, __VA_ARGS__)

/* Counts `count` tests as skipped, for the reason given by the format. */
void skip(int count, const char *format, ...) TAP_PRINTF(2, 3);

/* The whole program is skipped: prints the plan "1..0" and exits 0. */
void skip_all(const char *format, ...) TAP_PRINTF(1, 2)
    __attribute__((noreturn));

/* Prints lines that prove(1) shows always (diag) or with -v only (note). */
void diag(const char *format, ...) TAP_PRINTF(1, 2);
void note(const char *format, ...) TAP_PRINTF(1, 2);

/* Prints the plan. Returns main's value: 0, or 1 when a test failed. */
int done_testing(void);

void tap_time_limit(unsigned int seconds);

/* Behind the macros. */
int tap_ok(int passed, const char *expression, const char *file, int line,
    const char *format, ...) TAP_PRINTF(5, 6);
int tap_is_int(intmax_t got, intmax_t expected, const char *expression,
    const char *file, int line, const char *format, ...) TAP_PRINTF(6, 7);
int tap_is_str(const char *got, const char *expected, const char *expression,
    const char *file, int line, const char *format, ...) TAP_PRINTF(6, 7);
int tap_is_mem(const void *got, const void *expected, size_t length,
    const char *expression, const char *file, int line, const char *format, ...)
    TAP_PRINTF(7, 8);

#endif
