/*
 * sink.h: the place that log lines are written to: standard error, a file,
 * the syslog daemon, or a function of the program's.
 *
 * A sink knows how to open its target safely and how to write without waiting
 * for a reader.  It does not know lines, levels or processes.
 */
#ifndef PFK_BASE_SINK_H
#define PFK_BASE_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum pfk__sink_kind {
	PFK__SINK_UNKNOWN,
	PFK__SINK_FILE,   /* a regular file: write(2) is not refused for long */
	PFK__SINK_NOWAIT, /* a pipe, terminal or device with O_NONBLOCK */
	PFK__SINK_SHARED, /* the same without: its flags are other processes' */
	PFK__SINK_SOCKET,
	PFK__SINK_PACKETS, /* a socket that keeps the boundaries of writes */
	PFK__SINK_SYSLOG,  /* connected to the daemon's socket */
	PFK__SINK_CALL     /* a function of the program's */
};

struct pfk__sink {
	int fd; /* -1: the syslog daemon is gone, reconnect at the next line */
	enum pfk__sink_kind kind;
	char *path;     /* of a file that a rotation replaces, or NULL */
	bool on_stderr; /* written lines appear on standard error */
	bool stream;    /* syslog: by a stream socket, so lines need an end */
	bool terminal;
	/* Of PFK__SINK_CALL: gets each line, without its newline. */
	void (*call)(void *arg, const char *line);
	void *arg;
};

/*
 * Open target: "-" is standard error, "syslog" the daemon, all else a file.
 * "/dev/stderr", "/dev/stdout", "/dev/fd/N" and "/proc/self/fd/N" are the
 * descriptor itself.
 *
 * A file is made with mode 0640 and appended to.  errno on failure is open(2)'s
 * or connect(2)'s, and for files that another user may have put there: ELOOP, a
 * symbolic link; EMLINK, a second hard link; EPERM, the owner is neither root
 * nor this user.  Symbolic links among the directories are followed in
 * directories that only root or this user can change.
 */
int pfk__sink_open(struct pfk__sink *s, const char *target);

/* Open the path anew into *fresh; *s is not touched. */
int pfk__sink_reopen(const struct pfk__sink *s, struct pfk__sink *fresh);

/* Take over the descriptor of another sink or process. */
void pfk__sink_take(struct pfk__sink *s, int fd);

/* Close the descriptor, unless it is a standard one, and free the path. */
void pfk__sink_close(struct pfk__sink *s);

/*
 * Write without waiting for a reader.  Returns the number of bytes taken, which
 * may be less than n, or -1: EAGAIN, the reader is slow.  To a packet socket or
 * the syslog daemon, buf is one line.
 */
ssize_t pfk__sink_write(struct pfk__sink *s, const char *buf, size_t n);

/*
 * write(2), also from the background of a terminal with `stty tostop`.  That
 * raises SIGTTOU unless it is blocked, termios(4), and a master that takes the
 * signal as a command would log that, and get it, for ever.
 */
ssize_t pfk__write_text(int fd, const char *text, size_t n);

/* The most bytes that one write may have so that lines are not torn. */
size_t pfk__sink_batch(struct pfk__sink *s);

/* Whether a person will read it later, so that lines need a time. */
bool pfk__sink_wants_time(struct pfk__sink *s);

/* Whether a file's last line has no end, because its writer was killed. */
bool pfk__sink_is_torn(struct pfk__sink *s);

#endif
