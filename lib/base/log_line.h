/*
 * log_line.h: the form of a line of the log: text, JSON or logfmt, with or
 * without a time, for a file or for the syslog daemon.
 */
#ifndef PFK_BASE_LOG_LINE_H
#define PFK_BASE_LOG_LINE_H

#include <prefork.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most bytes of a line, its newline included. */
#define PFK__LINE_MAX 1000

struct pfk__line {
	enum pfk_level level;
	const char *process; /* "": no process is named */
	int pid;
	uint64_t time_ms;    /* since 1970 */
	const char *message; /* any bytes but NUL */
};

struct pfk__line_style {
	enum pfk_log_format format;
	bool timed;
	bool syslog; /* with its header, which has a priority and a time */
};

/*
 * Write the line to dst, which holds PFK__LINE_MAX bytes, and return its
 * length.  Control bytes are escaped; a message that does not fit is cut, the
 * frame around it never is.
 */
size_t pfk__line_format(char *dst, const struct pfk__line_style *style,
    const struct pfk__line *line);

#endif
