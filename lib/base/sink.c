/*
 * sink.c: open and write a log target.
 *
 * Layer: base.  syslog(3) is not used because it waits for its daemon and hides
 * failures.
 */
#include "base/sink.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "base/log_line.h"
#include "base/safe_open.h"

#define OPEN_FLAGS (O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
#define FILE_BATCH 65536

static enum pfk__sink_kind
kind_of(int fd, bool *terminal)
{
	int flags = fcntl(fd, F_GETFL), type = 0; /* -1: a sandbox denies it */
	socklen_t len = sizeof(type);
	struct stat st;

	*terminal = isatty(fd) == 1;
	if (fstat(fd, &st) == -1 || S_ISREG(st.st_mode))
		return PFK__SINK_FILE;
	if (S_ISSOCK(st.st_mode)) {
		getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
		return type == SOCK_STREAM ? PFK__SINK_SOCKET
					   : PFK__SINK_PACKETS;
	}
	return (S_ISFIFO(st.st_mode) || *terminal) &&
		(flags == -1 || (flags & O_NONBLOCK) == 0)
	    ? PFK__SINK_SHARED
	    : PFK__SINK_NOWAIT;
}

static void
look(struct pfk__sink *s)
{
	if (s->kind == PFK__SINK_UNKNOWN)
		s->kind = kind_of(s->fd, &s->terminal);
}

/*
 * Whether the file may be the log; one that a worker's user planted may not: a FIFO
 * would give him the log, and a file lets him change it.
 */
static int
check_file(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return -1;
	errno = 0;
	if (S_ISDIR(st.st_mode))
		errno = EISDIR;
	else if (S_ISBLK(st.st_mode) || S_ISSOCK(st.st_mode))
		errno = ENODEV;
	else if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode))
		return 0;
	else if (st.st_uid != 0 && st.st_uid != geteuid())
		errno = EPERM;
	else if (S_ISREG(st.st_mode) && st.st_nlink > 1)
		errno = EMLINK;
	return errno == 0 ? 0 : -1;
}

static int
open_file(const char *path)
{
	int fd = pfk__safe_open(path, O_WRONLY | O_CREAT | OPEN_FLAGS, 0640);
	int saved;

	/* fifo(7): ENXIO without a reader; one may still come. */
	if (fd == -1 && errno == ENXIO)
		fd = pfk__safe_open(path, O_RDWR | OPEN_FLAGS, 0);
	if (fd == -1 || check_file(fd) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* The number of the descriptor that the path names, or -1. */
static int
descriptor_named(const char *path)
{
	static const char *const prefixes[] = {"/dev/fd/", "/proc/self/fd/"};
	long n;

	if (strcmp(path, "/dev/stderr") == 0)
		return STDERR_FILENO;
	if (strcmp(path, "/dev/stdout") == 0)
		return STDOUT_FILENO;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		size_t len = strlen(prefixes[i]);
		char *end;

		if (strncmp(path, prefixes[i], len) != 0 ||
		    !isdigit((unsigned char)path[len]))
			continue;
		errno = 0;
		n = strtol(path + len, &end, 10);
		return *end == '\0' && errno == 0 && n <= INT_MAX ? (int)n : -1;
	}
	return -1;
}

/*
 * A descriptor that came from outside is shared with other processes, and
 * O_NONBLOCK would be theirs too.  A pipe or terminal can be opened once more.
 */
static int
open_again(int fd)
{
	char path[40];
	bool terminal;
	int again = -1;

	if (fcntl(fd, F_GETFD) == -1 && errno == EBADF)
		return -1;
	if (kind_of(fd, &terminal) == PFK__SINK_SHARED) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		again = open(path, O_WRONLY | OPEN_FLAGS);
	}
	if (again != -1 || fd == STDERR_FILENO)
		return again != -1 ? again : fd;
	return fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

/* As syslog(3) and logger(1): a datagram socket, else a stream. */
static int
connect_syslog(struct pfk__sink *s)
{
	static const struct sockaddr_un to = {.sun_family = AF_UNIX,
	    .sun_path = _PATH_LOG};
	static const int types[] = {SOCK_DGRAM, SOCK_STREAM};
	int saved;

	if (s->fd != -1)
		close(s->fd);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		s->fd = socket(AF_UNIX, types[i] | SOCK_NONBLOCK | SOCK_CLOEXEC,
		    0);
		if (s->fd == -1)
			return -1;
		s->stream = types[i] == SOCK_STREAM;
		if (connect(s->fd, (const struct sockaddr *)&to, sizeof(to)) ==
		    0)
			return 0;
		saved = errno;
		close(s->fd);
		s->fd = -1;
		errno = saved;
		if (errno != EPROTOTYPE)
			return -1;
	}
	return -1;
}

int
pfk__sink_open(struct pfk__sink *s, const char *target)
{
	struct pfk__sink new = {.fd = -1};
	int named = strcmp(target, "-") == 0 ? STDERR_FILENO
					     : descriptor_named(target);

	if (strcmp(target, "syslog") == 0) {
		new.kind = PFK__SINK_SYSLOG;
		if (connect_syslog(&new) == -1)
			return -1;
	} else if (named != -1) {
		new.fd = open_again(named);
		new.on_stderr = named == STDERR_FILENO;
	} else {
		new.path = strdup(target);
		new.fd = new.path != NULL ? open_file(target) : -1;
	}
	if (new.fd == -1) {
		free(new.path);
		return -1;
	}
	*s = new;
	return 0;
}

int
pfk__sink_reopen(const struct pfk__sink *s, struct pfk__sink *fresh)
{
	return pfk__sink_open(fresh, s->path);
}

void
pfk__sink_take(struct pfk__sink *s, int fd)
{
	pfk__sink_close(s);
	*s = (struct pfk__sink){.fd = fd};
}

void
pfk__sink_close(struct pfk__sink *s)
{
	if (s->fd > STDERR_FILENO)
		close(s->fd);
	free(s->path);
	s->path = NULL;
	s->fd = -1;
}

static ssize_t
write_syslog(struct pfk__sink *s, const char *line, size_t n)
{
	/* A datagram needs no newline, a stream some end. */
	size_t len = s->stream ? n : n - 1;
	ssize_t sent;

	for (int tries = 2; tries > 0; tries--) {
		if (s->fd == -1 && connect_syslog(s) == -1)
			return -1;
		sent = send(s->fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent != -1)
			return sent == (ssize_t)len ? (ssize_t)n : sent;
		if (errno == EAGAIN || errno == EMSGSIZE || errno == ENOBUFS)
			return -1;
		/* The daemon has ended; a new one may be there. */
		close(s->fd);
		s->fd = -1;
	}
	return -1;
}

ssize_t
pfk__write_text(int fd, const char *text, size_t n)
{
	sigset_t ttou, old;
	ssize_t rc;

	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	sigprocmask(SIG_BLOCK, &ttou, &old);
	rc = write(fd, text, n);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return rc;
}

/* buf is one line, and shorter than any line may be. */
static ssize_t
call(const struct pfk__sink *s, const char *buf, size_t n)
{
	char line[PFK__LINE_MAX];

	assert(n > 0 && n <= sizeof(line));
	memcpy(line, buf, n - 1);
	line[n - 1] = '\0';
	s->call(s->arg, line);
	return (ssize_t)n;
}

ssize_t
pfk__sink_write(struct pfk__sink *s, const char *buf, size_t n)
{
	struct pollfd p = {.fd = s->fd, .events = POLLOUT};

	look(s);
	switch (s->kind) {
	case PFK__SINK_SYSLOG:
		return write_syslog(s, buf, n);
	case PFK__SINK_CALL:
		return call(s, buf, n);
	case PFK__SINK_SOCKET:
	case PFK__SINK_PACKETS:
		return send(s->fd, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	case PFK__SINK_SHARED:
		if (poll(&p, 1, 0) != 1) {
			errno = EAGAIN;
			return -1;
		}
		break;
	default:
		break;
	}
	return s->terminal ? pfk__write_text(s->fd, buf, n)
			   : write(s->fd, buf, n);
}

size_t
pfk__sink_batch(struct pfk__sink *s)
{
	look(s);
	if (s->kind == PFK__SINK_FILE)
		return FILE_BATCH;
	/* pipe(7): up to here a write is not mixed with others'. */
	return s->kind == PFK__SINK_SYSLOG || s->kind == PFK__SINK_PACKETS ||
		s->kind == PFK__SINK_CALL
	    ? 1
	    : PIPE_BUF;
}

bool
pfk__sink_wants_time(struct pfk__sink *s)
{
	look(s);
	return s->kind == PFK__SINK_FILE || s->terminal;
}

bool
pfk__sink_is_torn(struct pfk__sink *s)
{
	char path[40], last = '\n';
	struct stat st;
	int fd;

	look(s);
	if (s->kind != PFK__SINK_FILE || fstat(s->fd, &st) == -1 ||
	    st.st_size == 0)
		return false;
	/* s->fd may only write. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return false;
	if (pread(fd, &last, 1, st.st_size - 1) != 1)
		last = '\n';
	close(fd);
	return last != '\n';
}
