/*
 * log.c: one line, one write(2): "[process (pid)] message".
 *
 * Layer: base.  The process number is cached, so whoever forks calls
 * pfk_log_set_process.  Whoever reads the log may stand still: a pipe, a
 * terminal or a socket that is full loses lines, and nobody waits for it.  That
 * is why syslog(3) is not used: it waits for its daemon.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <paths.h>
#include <poll.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1000
#define SYSLOG_WAIT_MS 10

/* How to write without waiting. */
enum way {
	UNKNOWN,
	WRITE, /* what never waits: a file, or O_NONBLOCK */
	SEND,  /* to a socket */
	SYSLOG,
	POLL /* first: the descriptor's flags are others' too */
};

static struct {
	enum pfk_level level;
	int fd;
	enum way way;
	bool tty;
	unsigned long lost; /* lines, since the last that was written */
	int lost_errno;     /* of the last of them */
	bool to_stderr;
	char *path;
	char process[32];
	pid_t pid;
} the_log = {.level = PFK_INFO, .fd = STDERR_FILENO, .to_stderr = true};

static enum way
way_to(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (fstat(fd, &st) == -1)
		return WRITE;
	if (S_ISSOCK(st.st_mode))
		return SEND;
	return (S_ISFIFO(st.st_mode) || isatty(fd)) && (flags & O_NONBLOCK) == 0
	    ? POLL
	    : WRITE;
}

#define OPEN_FLAGS (O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

static int
open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | OPEN_FLAGS, 0640);

	/* fifo(7): without a reader; one may still come. */
	if (fd == -1 && errno == ENXIO)
		fd = open(path, O_RDWR | OPEN_FLAGS);
	return fd;
}

/*
 * Standard error is shared with whoever started us, and O_NONBLOCK would be
 * theirs too.  A pipe or terminal can be opened once more.
 */
static int
open_stderr(void)
{
	int fd = -1;

	if (way_to(STDERR_FILENO) == POLL)
		fd = open("/proc/self/fd/2", O_WRONLY | OPEN_FLAGS);
	return fd != -1 ? fd : STDERR_FILENO;
}

static int
connect_syslog(int fd)
{
	static const struct sockaddr_un to = {.sun_family = AF_UNIX,
	    .sun_path = _PATH_LOG};

	return connect(fd, (const struct sockaddr *)&to, sizeof(to));
}

/* As openlog(3) it does not ask for a daemon: one may still come. */
static int
open_syslog(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd != -1)
		connect_syslog(fd);
	tzset();
	return fd;
}

static void
use(int fd, enum way way)
{
	if (the_log.fd > STDERR_FILENO)
		close(the_log.fd);
	the_log.fd = fd;
	the_log.way = way;
	the_log.to_stderr = false;
}

int
pfk_log_open(const char *target)
{
	bool to_stderr = strcmp(target, "-") == 0;
	bool to_syslog = strcmp(target, "syslog") == 0;
	char *path = NULL;
	int fd;

	if (!to_stderr && !to_syslog) {
		path = strdup(target);
		if (path == NULL)
			return -1;
	}
	fd = to_stderr  ? open_stderr()
	    : to_syslog ? open_syslog()
			: open_file(path);
	if (fd == -1) {
		free(path);
		return -1;
	}
	free(the_log.path);
	the_log.path = path;
	use(fd, to_syslog ? SYSLOG : UNKNOWN);
	the_log.to_stderr = to_stderr;
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
	use(fd, UNKNOWN);
	return 0;
}

void
pfk_log_set_level(enum pfk_level level)
{
	the_log.level = level;
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

int
pfk__log_text_fd(void)
{
	return the_log.way == SYSLOG ? -1 : the_log.fd;
}

bool
pfk__log_is_file(void)
{
	return the_log.path != NULL;
}

void
pfk__log_forked(void)
{
	the_log.lost = 0; /* the parent tells */
}

void
pfk__log_take_fd(int fd)
{
	/* By the same number, which the keeper of this process knows too. */
	if (the_log.fd > STDERR_FILENO && dup2(fd, the_log.fd) != -1) {
		close(fd);
		the_log.way = UNKNOWN;
		return;
	}
	use(fd, UNKNOWN);
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

/* "prefix message" as a line of at most LINE_MAX_BYTES; its length. */
static size_t
compose(char *line, const char *prefix, const char *message)
{
	size_t n = strlcpy(line, prefix, LINE_MAX_BYTES);

	n += escape(line + n, LINE_MAX_BYTES - n, message);
	line[n++] = '\n';
	return n;
}

/*
 * Without a newline.  A daemon's queue may hold ten lines only, so a burst
 * waits for it a moment; whoever has lost a line does not wait any more.
 */
static int
send_syslog(const char *line, size_t n)
{
	struct pollfd p = {.fd = the_log.fd, .events = POLLOUT};

	for (int tries = 2; tries > 0; tries--) {
		if (send(the_log.fd, line, n - 1,
			MSG_DONTWAIT | MSG_NOSIGNAL) != -1)
			return 0;
		if (errno == EAGAIN
			? the_log.lost > 0 || poll(&p, 1, SYSLOG_WAIT_MS) != 1
			: connect_syslog(the_log.fd) == -1)
			return -1; /* full; or it is gone, with none after it */
	}
	return -1;
}

static void
look_at_log(void)
{
	the_log.way = way_to(the_log.fd);
	the_log.tty = isatty(the_log.fd) != 0;
}

/*
 * write(2), also from the background of a terminal with `stty tostop`.  That
 * raises SIGTTOU unless it is blocked, termios(4), and a master that takes it as
 * a command would write, and get it, for ever.
 */
static ssize_t
write_text(int fd, const char *line, size_t n)
{
	sigset_t ttou, old;
	ssize_t rc;

	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	sigprocmask(SIG_BLOCK, &ttou, &old);
	rc = write(fd, line, n);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return rc;
}

static int
write_now(const char *line, size_t n)
{
	struct pollfd p = {.fd = the_log.fd, .events = POLLOUT};

	if (the_log.way == UNKNOWN)
		look_at_log();
	if (the_log.way == SYSLOG)
		return send_syslog(line, n);
	if (the_log.way == SEND)
		return send(the_log.fd, line, n, MSG_DONTWAIT | MSG_NOSIGNAL) ==
			-1
		    ? -1
		    : 0;
	if (the_log.way == POLL && poll(&p, 1, 0) != 1)
		return -1;
	return (the_log.tty ? write_text(the_log.fd, line, n)
			    : write(the_log.fd, line, n)) == -1
	    ? -1
	    : 0;
}

static void
explain_loss(char *text, size_t size)
{
	const char *plural = the_log.lost == 1 ? "" : "s";

	if (the_log.lost_errno == EAGAIN)
		snprintf(text, size, "%lu line%s lost: nobody took %s",
		    the_log.lost, plural, the_log.lost == 1 ? "it" : "them");
	else
		snprintf(text, size, "%lu line%s lost: cannot write: %s",
		    the_log.lost, plural, strerror(the_log.lost_errno));
}

/* A log that cannot be written must not stop the service. */
static void
write_or_lose(const char *prefix, const char *message)
{
	char line[LINE_MAX_BYTES], text[160];

	if (the_log.lost > 0) {
		explain_loss(text, sizeof(text));
		if (write_now(line, compose(line, prefix, text)) == 0)
			the_log.lost = 0;
	}
	/* In order: not before the loss is told. */
	if (the_log.lost > 0 ||
	    write_now(line, compose(line, prefix, message)) == -1) {
		the_log.lost++;
		the_log.lost_errno = errno;
		/* These say that the reader is slow or gone. */
		if (the_log.way != WRITE || errno == EPIPE)
			the_log.lost_errno = EAGAIN;
	}
}

/* As syslog(3) writes to its daemon: RFC 3164, without the host. */
static size_t
syslog_header(char *dst, size_t size, enum pfk_level level)
{
	static const int priority[] = {LOG_ERR, LOG_WARNING, LOG_INFO,
	    LOG_DEBUG};
	time_t now = time(NULL);
	char stamp[20] = "";
	struct tm tm;

	if (localtime_r(&now, &tm) != NULL)
		strftime(stamp, sizeof(stamp), "%h %e %T", &tm);
	return (size_t)snprintf(dst, size,
	    "<%d>%s %.32s: ", LOG_DAEMON | priority[level], stamp,
	    getprogname());
}

static void
write_line(enum pfk_level level, const char *message)
{
	char prefix[160] = "";
	size_t n = 0;

	if (the_log.way == SYSLOG)
		n = syslog_header(prefix, sizeof(prefix), level);
	if (the_log.process[0] != '\0')
		snprintf(prefix + n, sizeof(prefix) - n, "[%s (%d)] ",
		    the_log.process, (int)the_log.pid);
	write_or_lose(prefix, message);
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
	char message[LINE_MAX_BYTES], line[LINE_MAX_BYTES], prefix[64];
	bool named = the_log.process[0] != '\0';
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	/* Before it has a name, a process has no log either. */
	if (named)
		write_line(PFK_ERROR, message);
	if (named && the_log.to_stderr)
		return;
	snprintf(prefix, sizeof(prefix), "%s: ", getprogname());
	if (write_text(STDERR_FILENO, line, compose(line, prefix, message)) ==
	    -1)
		return; /* nobody to tell */
}
