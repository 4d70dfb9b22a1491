/*
 * log.c: pfk_log and its relatives: compose a line, write it or relay it.
 *
 * Layer: base.  The process number is cached, so a process calls
 * pfk_log_set_process after its fork.  A reader of the log may stand still: a
 * pipe, a terminal or a socket that is full loses lines, and no process waits
 * for the reader.
 */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <prefork.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/misuse.h"

#define SYSLOG_WAIT_MS 10

static struct {
	enum pfk_level level;
	enum pfk_log_format format;
	enum pfk_log_time time;
	struct pfk__sink sink;
	bool torn;             /* the sink took a part of the last line */
	unsigned long dropped; /* lines, since the last that was written */
	int dropped_error;     /* the cause of the last one */
	struct {
		int fd; /* -1: none, write directly */
		struct pfk__relay_page *page;
		bool captured;
		bool keeper;
	} relay;
	void (*tap)(void *arg, const char *message); /* or NULL */
	void *tap_arg;
	char process[32];
	pid_t pid;
} the_log = {
    .level = PFK_INFO,
    .time = PFK_LOG_TIME_OFF,
    .sink = {.fd = STDERR_FILENO, .on_stderr = true},
    .relay.fd = -1,
};

static void
use(const struct pfk__sink *s)
{
	pfk__sink_close(&the_log.sink);
	the_log.sink = *s;
	the_log.torn = pfk__sink_is_torn(&the_log.sink);
}

/* -1: the log process has it. */
static int
check_free(const char *call)
{
	if (the_log.relay.fd == -1)
		return 0;
	return pfk__misuse(EBUSY, "%s: call it before pfk_master_run", call);
}

int
pfk_log_open(const char *target)
{
	struct pfk__sink s;

	if (check_free("pfk_log_open") == -1)
		return -1;
	if (pfk__sink_open(&s, target) == -1)
		return -1;
	use(&s);
	return 0;
}

int
pfk_log_to(void (*call)(void *arg, const char *line), void *arg)
{
	struct pfk__sink s = {.fd = -1,
	    .kind = PFK__SINK_CALL,
	    .call = call,
	    .arg = arg};

	if (pfk__need_callback("pfk_log_to", call != NULL) == -1 ||
	    check_free("pfk_log_to") == -1)
		return -1;
	use(&s);
	return 0;
}

int
pfk_log_reopen(void)
{
	struct pfk__sink s;

	if (the_log.sink.path == NULL)
		return 0;
	if (pfk__sink_reopen(&the_log.sink, &s) == -1)
		return -1;
	use(&s);
	return 0;
}

void
pfk_log_set_level(enum pfk_level level)
{
	the_log.level = level < PFK_DEBUG ? level : PFK_DEBUG;
}

int
pfk__log_level(void)
{
	return (int)the_log.level;
}

bool
pfk_log_wants(enum pfk_level level)
{
	return level <= the_log.level;
}

void
pfk_log_set_format(enum pfk_log_format format)
{
	the_log.format = format;
}

void
pfk_log_set_time(enum pfk_log_time time)
{
	the_log.time = time;
}

void
pfk_log_set_process(const char *word)
{
	strlcpy(the_log.process, word, sizeof(the_log.process));
	the_log.pid = getpid();
	the_log.relay.keeper = strncmp(word, "keeper-", 7) == 0;
	if (the_log.relay.captured && !the_log.relay.keeper)
		the_log.relay.page->pid = (int32_t)the_log.pid;
}

const char *
pfk__log_process(void)
{
	return the_log.process;
}

int
pfk__log_fd(void)
{
	return the_log.relay.fd != -1 ? the_log.relay.fd : the_log.sink.fd;
}

int
pfk__log_text_fd(void)
{
	return the_log.relay.fd == -1 && the_log.sink.kind == PFK__SINK_SYSLOG
	    ? -1
	    : pfk__log_fd();
}

void
pfk__log_text_prefix(char *dst, size_t size)
{
	dst[0] = '\0';
	if (the_log.relay.fd == -1)
		snprintf(dst, size, "[%s (%d)] ", the_log.process,
		    (int)the_log.pid);
}

bool
pfk__log_is_file(void)
{
	return the_log.sink.path != NULL;
}

void
pfk__log_forked(void)
{
	the_log.dropped = 0; /* the parent reports its own */
}

struct pfk__sink *
pfk__log_sink(void)
{
	return &the_log.sink;
}

struct pfk__line_style
pfk__log_style(struct pfk__sink *s)
{
	return (struct pfk__line_style){.format = the_log.format,
	    .timed = the_log.time == PFK_LOG_TIME_ON ||
		(the_log.time == PFK_LOG_TIME_AUTO && pfk__sink_wants_time(s)),
	    .syslog = s->kind == PFK__SINK_SYSLOG};
}

void
pfk__log_relay(int fd, struct pfk__relay_page *page, bool captured)
{
	the_log.relay.fd = fd;
	the_log.relay.page = page;
	the_log.relay.captured = captured;
	the_log.pid = getpid();
	if (!captured)
		return;
	/* Its number will be another descriptor's. */
	pfk__sink_close(&the_log.sink);
	the_log.sink.on_stderr = false;
}

void
pfk__log_tap(void (*tap)(void *arg, const char *message), void *arg)
{
	the_log.tap = tap;
	the_log.tap_arg = arg;
}

uint64_t
pfk__log_clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * PFK_SECOND_NS + (uint64_t)ts.tv_nsec;
}

/* directly */

/*
 * A daemon's queue may hold ten lines only, so a burst waits for it a moment;
 * after a dropped line there is no wait until one gets through.
 */
static bool
syslog_has_room(void)
{
	struct pollfd p = {.fd = the_log.sink.fd, .events = POLLOUT};

	return the_log.sink.kind == PFK__SINK_SYSLOG && errno == EAGAIN &&
	    the_log.dropped == 0 && poll(&p, 1, SYSLOG_WAIT_MS) == 1;
}

static int
write_now(const char *line, size_t n)
{
	struct pfk__sink *s = &the_log.sink;
	ssize_t done;

	if (the_log.torn && pfk__sink_write(s, "\n", 1) != 1)
		return -1;
	the_log.torn = false;
	done = pfk__sink_write(s, line, n);
	if (done == -1 && syslog_has_room())
		done = pfk__sink_write(s, line, n);
	if (done == (ssize_t)n)
		return 0;
	if (done != -1) {
		the_log.torn = done > 0;
		errno = ENOSPC;
	}
	return -1;
}

static void
drop(int error)
{
	the_log.dropped++;
	the_log.dropped_error = error;
}

/* A log that cannot be written must not stop the service. */
static void
write_or_drop(const struct pfk__line_style *style, const struct pfk__line *line)
{
	struct pfk__line count = *line;
	char buf[PFK__LINE_MAX], text[120];
	int error = the_log.dropped_error;

	if (the_log.dropped > 0) {
		snprintf(text, sizeof(text), "%lu log line%s dropped, %s",
		    the_log.dropped, the_log.dropped == 1 ? "" : "s",
		    error == EAGAIN ? "reader too slow" : strerror(error));
		count.message = text;
		count.level = PFK_WARNING;
		/* In order: the count goes before the next line. */
		if (write_now(buf, pfk__line_format(buf, style, &count)) ==
		    -1) {
			drop(errno);
			return;
		}
		the_log.dropped = 0;
	}
	if (write_now(buf, pfk__line_format(buf, style, line)) == -1)
		drop(errno);
}

static void
write_line(enum pfk_level level, const char *message)
{
	struct pfk__line_style style = pfk__log_style(&the_log.sink);
	struct pfk__line line = {.level = level,
	    .process = the_log.process,
	    .pid = the_log.process[0] != '\0' ? (int)the_log.pid
					      : (int)getpid(),
	    .message = message};

	if (style.timed || style.syslog)
		line.time_ms = pfk__log_clock_ns(CLOCK_REALTIME) / PFK_MSEC_NS;
	write_or_drop(&style, &line);
}

/* by the log process */

static void
put_hex(char *dst, int digits, uint64_t value)
{
	while (digits-- > 0) {
		dst[digits] = "0123456789abcdef"[value & 15];
		value >>= 4;
	}
}

/* `text` has room for the head, and then the message. */
static void
relay(enum pfk_level level, char *text)
{
	size_t n = PFK__RELAY_HEAD + strlen(text + PFK__RELAY_HEAD) + 1;

	text[0] = PFK__RELAY_START;
	text[1] = (char)('0' + level);
	text[2] = the_log.relay.keeper ? PFK__RELAY_KEEPER : '-';
	put_hex(text + PFK__RELAY_PID, PFK__RELAY_PID_DIGITS,
	    (uint64_t)the_log.pid);
	put_hex(text + PFK__RELAY_TIME, PFK__RELAY_TIME_DIGITS,
	    pfk__log_clock_ns(CLOCK_MONOTONIC));
	/* Up to PIPE_BUF bytes are written whole or not at all. */
	if (write(the_log.relay.fd, text, n) == -1)
		__atomic_fetch_add(&the_log.relay.page->dropped, 1,
		    __ATOMIC_RELAXED);
}

static void
log_valist(enum pfk_level level, const char *suffix, const char *fmt,
    va_list ap)
{
	char text[PFK__RELAY_MAX], *message = text + PFK__RELAY_HEAD;
	size_t n;

	vsnprintf(message, PFK__LINE_MAX, fmt, ap);
	if (suffix != NULL) {
		n = strlen(message);
		snprintf(message + n, PFK__LINE_MAX - n, ": %s", suffix);
	}
	if (the_log.tap != NULL)
		the_log.tap(the_log.tap_arg, message);
	if (the_log.relay.fd != -1)
		relay(level, text);
	else
		write_line(level, message);
}

void
pfk_log(enum pfk_level level, const char *fmt, ...)
{
	int saved_errno = errno;
	va_list ap;

	if (!pfk_log_wants(level))
		return;
	va_start(ap, fmt);
	log_valist(level, NULL, fmt, ap);
	va_end(ap);
	errno = saved_errno;
}

void
pfk_warn(const char *fmt, ...)
{
	int saved_errno = errno;
	va_list ap;

	if (!pfk_log_wants(PFK_WARNING))
		return;
	va_start(ap, fmt);
	log_valist(PFK_WARNING, strerror(saved_errno), fmt, ap);
	va_end(ap);
	errno = saved_errno;
}

void
pfk_complain(const char *fmt, ...)
{
	char message[PFK__LINE_MAX], text[PFK__LINE_MAX + 40];
	struct pfk__line line = {.process = "", .message = text};
	struct pfk__line_style plain = {0};
	bool named = the_log.process[0] != '\0';
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	/* Before it has a name, a process has no log either. */
	if (named)
		pfk_log(PFK_ERROR, "%s", message);
	if (named && (the_log.sink.on_stderr || the_log.relay.captured))
		return;
	snprintf(text, sizeof(text), "%s: %s", getprogname(), message);
	if (pfk__write_text(STDERR_FILENO, message,
		pfk__line_format(message, &plain, &line)) == -1)
		return; /* there is no reader */
}
