/*
 * log.h: the parts of the log that the library needs beyond prefork.h.
 *
 * A process writes its lines either directly to the sink, or as relayed lines to a
 * relay: a pipe to the log process, which formats them and writes them to its
 * own sink (lib/logger).
 */
#ifndef PFK_BASE_LOG_H
#define PFK_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/log_line.h"
#include "base/sink.h"

/* The descriptor in use: a forked process must keep it open. */
int pfk__log_fd(void);

/* The same where it takes text as it is, or -1: it is the syslog daemon's. */
int pfk__log_text_fd(void);

/* The enum pfk_level in force. */
int pfk__log_level(void);

/* The word of pfk_log_set_process. */
const char *pfk__log_process(void);

/*
 * The beginning of a line for pfk__log_text_fd: the process and its number, or
 * nothing where the log process adds them.  Safe in a signal handler.
 */
void pfk__log_text_prefix(char *dst, size_t size);

/* Whether the log is a file, which a rotation replaces. */
bool pfk__log_is_file(void);

/* In a process that is about to close descriptors that it does not know. */
void pfk__log_forked(void);

/* The clock in nanoseconds. */
uint64_t pfk__log_clock_ns(clockid_t clock);

/* The open target, and the form of its lines. */
struct pfk__sink *pfk__log_sink(void);
struct pfk__line_style pfk__log_style(struct pfk__sink *s);

/* Shared by the writers of one pipe and the log process; outlives them. */
struct pfk__relay_page {
	uint64_t dropped; /* lines that the pipe did not take */
	int32_t pid;      /* of the worker: its standard error is the pipe */
};

/*
 * Write relayed lines to the pipe fd from now on; fd stays the caller's, its
 * writes must not wait.  captured: standard error is the same pipe, and the
 * sink is closed.  fd -1: write directly again.
 */
void pfk__log_relay(int fd, struct pfk__relay_page *page, bool captured);

/* Call tap with each message that this process logs; NULL: no longer. */
void pfk__log_tap(void (*tap)(void *arg, const char *message), void *arg);

/* A line as its writer gave it.  pid and time_ns are 0 where it gave none. */
struct pfk__relayed {
	enum pfk_level level;
	bool keeper; /* the worker's keeper wrote it */
	int pid;
	uint64_t time_ns; /* on CLOCK_MONOTONIC */
	const char *message;
};

/*
 * A relayed line: \001, the level as a digit, 'k' for a keeper or '-', the pid
 * and the nanoseconds as hexadecimal digits, the message, NUL.  All else in the
 * pipe is text that a process wrote to its standard error.
 */
#define PFK__RELAY_START '\001'
#define PFK__RELAY_KEEPER 'k'
#define PFK__RELAY_PID 3 /* where its digits are, and how many */
#define PFK__RELAY_PID_DIGITS 8
#define PFK__RELAY_TIME (PFK__RELAY_PID + PFK__RELAY_PID_DIGITS)
#define PFK__RELAY_TIME_DIGITS 16
#define PFK__RELAY_HEAD (PFK__RELAY_TIME + PFK__RELAY_TIME_DIGITS)
#define PFK__RELAY_MAX (PFK__RELAY_HEAD + PFK__LINE_MAX)

#endif
