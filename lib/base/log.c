/*
 * log.c: one line, one write(2): "[process (pid)] message".
 *
 * Layer: base.  The process number is cached, so whoever forks calls
 * pfk_log_set_process.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <prefork.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1000

static struct {
	enum pfk_level level;
	int fd;
	bool use_syslog;
	char *path;
	char process[32];
	pid_t pid;
} the_log = {.level = PFK_INFO, .fd = STDERR_FILENO};

static int
open_file(const char *path)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY,
	    0640);
}

static void
use(int fd, bool use_syslog)
{
	if (the_log.fd > STDERR_FILENO)
		close(the_log.fd);
	if (use_syslog && !the_log.use_syslog)
		openlog(NULL, LOG_NDELAY, LOG_DAEMON);
	if (!use_syslog && the_log.use_syslog)
		closelog();
	the_log.fd = fd;
	the_log.use_syslog = use_syslog;
}

int
pfk_log_open(const char *target)
{
	bool to_stderr = strcmp(target, "-") == 0;
	bool to_syslog = strcmp(target, "syslog") == 0;
	char *path = NULL;
	int fd = STDERR_FILENO;

	if (!to_stderr && !to_syslog) {
		path = strdup(target);
		if (path == NULL)
			return -1;
		fd = open_file(path);
		if (fd == -1) {
			free(path);
			return -1;
		}
	}
	free(the_log.path);
	the_log.path = path;
	use(to_syslog ? -1 : fd, to_syslog);
	return 0;
}

int
pfk_log_reopen(void)
{
	int fd;

	if (the_log.path == NULL)
		return 0;
	fd = open_file(the_log.path);
	if (fd == -1)
		return -1;
	use(fd, false);
	return 0;
}

void
pfk_log_set_level(enum pfk_level level)
{
	the_log.level = level;
}

bool
pfk_log_wants(enum pfk_level level)
{
	return level <= the_log.level;
}

void
pfk_log_set_process(const char *word)
{
	strlcpy(the_log.process, word, sizeof(the_log.process));
	the_log.pid = getpid();
}

const char *
pfk__log_process(void)
{
	return the_log.process;
}

int
pfk__log_fd(void)
{
	return the_log.fd;
}

bool
pfk__log_is_file(void)
{
	return the_log.path != NULL;
}

void
pfk__log_forked(void)
{
	/* syslog(3) opens its socket anew; it must not use a stranger's. */
	if (the_log.use_syslog)
		closelog();
}

void
pfk__log_take_fd(int fd)
{
	use(fd, false);
}

/* Copy src with control bytes as \n or \xNN; always room for a newline. */
static size_t
escape(char *dst, size_t size, const char *src)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	for (; *src != '\0' && n + 6 < size; src++) {
		unsigned char c = (unsigned char)*src;

		if (c >= 0x20 && c != 0x7f) {
			dst[n++] = (char)c;
			continue;
		}
		dst[n++] = '\\';
		if (c == '\n') {
			dst[n++] = 'n';
			continue;
		}
		dst[n++] = 'x';
		dst[n++] = hex[c >> 4];
		dst[n++] = hex[c & 15];
	}
	return n;
}

/* "prefix message" on fd, in one write. */
static void
write_to(int fd, const char *prefix, const char *message)
{
	char line[LINE_MAX_BYTES];
	size_t n = strlcpy(line, prefix, sizeof(line));

	n += escape(line + n, sizeof(line) - n, message);
	line[n++] = '\n';
	/* A log that cannot be written must not stop the service. */
	if (write(fd, line, n) == -1)
		return;
}

static void
write_line(enum pfk_level level, const char *message)
{
	static const int priority[] = {LOG_ERR, LOG_WARNING, LOG_INFO,
	    LOG_DEBUG};
	char prefix[64] = "", line[LINE_MAX_BYTES];

	if (the_log.process[0] != '\0')
		snprintf(prefix, sizeof(prefix), "[%s (%d)] ", the_log.process,
		    (int)the_log.pid);
	if (!the_log.use_syslog) {
		write_to(the_log.fd, prefix, message);
		return;
	}
	line[escape(line, sizeof(line), message)] = '\0';
	syslog(priority[level], "%s%s", prefix, line);
}

static void
log_valist(enum pfk_level level, const char *suffix, const char *fmt,
    va_list ap)
{
	char message[LINE_MAX_BYTES];
	size_t n;

	vsnprintf(message, sizeof(message), fmt, ap);
	if (suffix != NULL) {
		n = strlen(message);
		snprintf(message + n, sizeof(message) - n, ": %s", suffix);
	}
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
	char message[LINE_MAX_BYTES], prefix[64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	/* Before it has a name, a process has no log either. */
	if (the_log.process[0] != '\0')
		write_line(PFK_ERROR, message);
	if (the_log.process[0] != '\0' && the_log.fd == STDERR_FILENO)
		return;
	snprintf(prefix, sizeof(prefix), "%s: ", getprogname());
	write_to(STDERR_FILENO, prefix, message);
}
