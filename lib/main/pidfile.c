/*
 * pidfile.c: lock, write, remove and believe a pid file.
 *
 * Layer: main.  The directory may belong to another user and have a symbolic
 * link, a FIFO, or a file with the number of any process in it: open(2) follows
 * no link and waits for nobody, and the file must be regular, with one name, of
 * root's or of this user's, and not writable by others.
 */
#include "main/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/inherit.h"

#define TEXT_SIZE 32
/* Races with masters that end, and files that are replaced, are lost so often. */
#define TRIES 100

#define CAREFULLY (O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

struct pfk__pidfile {
	char *path;
	int dir; /* so that names keep their meaning if its path is renamed */
	const char *name;
	int fd;
};

static int
fail(int status, char *err, const char *path, const char *why)
{
	snprintf(err, PFK__PIDFILE_ERROR, "pid file %s: %s", path, why);
	return status;
}

/* Why the file must not be believed, or NULL. */
static const char *
distrust(const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "it is not a regular file; take another name";
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return "it belongs to another user, who may write any number "
		       "there; remove it, or act as that user";
	if (st->st_nlink > 1)
		return "it has a second name (hard link); remove it";
	if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return "others may write to it; chmod go-w";
	return NULL;
}

static const char *
open_error(int error)
{
	if (error == ELOOP)
		return "it is a symbolic link, which is not followed; name "
		       "the file itself";
	/* A FIFO without a reader, or a socket. */
	if (error == ENXIO)
		return "it is not a regular file; take another name";
	return strerror(error);
}

/* The number in the file: 0 for none yet, -1 for anything else. */
static pid_t
read_pid(int fd)
{
	char text[TEXT_SIZE];
	const char *errstr;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	pid_t pid;

	if (n <= 0)
		return n == 0 ? 0 : -1;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	pid = (pid_t)strtonum(text, 1, INT32_MAX, &errstr);
	return errstr == NULL ? pid : -1;
}

/* The pid of the lock's owner; 0: no lock, -1: unknown, with errno. */
static pid_t
holder(int fd, bool *shared)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(fd, F_GETLK, &l) == -1)
		return -1;
	*shared = l.l_type == F_RDLCK;
	if (l.l_type == F_UNLCK)
		return 0;
	/* 0 or less: of another machine, or outside this PID namespace. */
	errno = ESRCH;
	return l.l_pid > 0 ? l.l_pid : -1;
}

/* locking */

/* Whether the name still leads to the descriptor's file. */
static bool
is_there(const struct pfk__pidfile *f)
{
	struct stat name, own;

	return fstatat(f->dir, f->name, &name, AT_SYMLINK_NOFOLLOW) == 0 &&
	    fstat(f->fd, &own) == 0 && name.st_dev == own.st_dev &&
	    name.st_ino == own.st_ino;
}

static int
lock(int fd)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_SETLK, &l);
}

/*
 * Any user with the right to read a stale file can hold a shared lock on it.
 * No master does, so such a file gives way to a new one.  Should two masters do
 * this at the same moment, one finds in pfk__pidfile_publish that the file is
 * not its own.
 */
static int
replace(struct pfk__pidfile *f)
{
	char name[40];
	int fd, saved_errno;

	snprintf(name, sizeof(name), ".pid-%d-%08x", (int)getpid(),
	    arc4random());
	fd = openat(f->dir, name, O_RDWR | O_CREAT | O_EXCL | CAREFULLY, 0600);
	if (fd == -1)
		return -1;
	if (lock(fd) == -1 || fchmod(fd, 0644) == -1 || !is_there(f) ||
	    renameat(f->dir, name, f->dir, f->name) == -1) {
		saved_errno = errno;
		close(fd);
		unlinkat(f->dir, name, 0);
		errno = saved_errno;
		return -1;
	}
	close(f->fd);
	f->fd = fd;
	return 0;
}

static int
report_running(const struct pfk__pidfile *f, pid_t other, char *err)
{
	pid_t pid = read_pid(f->fd);
	char who[60];

	if (pid == 0)
		snprintf(who, sizeof(who), "master %d, which is starting,",
		    (int)other);
	else
		snprintf(who, sizeof(who), "process %d", (int)other);
	snprintf(err, PFK__PIDFILE_ERROR,
	    "already running: %s has locked %s; stop it or take another "
	    "--pid-file",
	    who, f->path);
	return EX_TEMPFAIL;
}

/* Handle a lock that cannot be had; EX_OK: try again. */
static int
on_conflict(struct pfk__pidfile *f, int error, char *err)
{
	bool shared = false;
	char why[160];
	pid_t other;

	if (error != EAGAIN && error != EACCES) {
		snprintf(why, sizeof(why),
		    "cannot lock it: %s; it needs a file system with locks",
		    strerror(error));
		return fail(EX_CANTCREAT, err, f->path, why);
	}
	other = holder(f->fd, &shared);
	if (other == -1 && errno == ESRCH && !shared) {
		snprintf(err, PFK__PIDFILE_ERROR,
		    "already running: a process of another machine or "
		    "container has locked %s",
		    f->path);
		return EX_TEMPFAIL;
	}
	if (other > 0 && !shared)
		return report_running(f, other, err);
	if (shared && replace(f) == -1) {
		error = errno;
		if (!is_there(f))
			return EX_OK;
		snprintf(why, sizeof(why),
		    "process %d has a shared lock on it, and it cannot be "
		    "replaced: %s",
		    (int)other, strerror(error));
		return fail(EX_CANTCREAT, err, f->path, why);
	}
	return EX_OK;
}

/*
 * A program that replaces the running master leaves the text until it has its own,
 * because the pid is mostly the same, and a full disk may have no room for another.
 */
static int
empty(int fd)
{
	struct pfk__inherited i;

	return pfk__inherited(&i) ? 0 : ftruncate(fd, 0);
}

/* Open the file and lock it: 1, 0 to try again, -1 with the reason. */
static int
try_lock(struct pfk__pidfile *f, int *status, char *err)
{
	const char *why = NULL;
	struct stat st;

	*status = EX_CANTCREAT;
	f->fd = openat(f->dir, f->name, O_RDWR | O_CREAT | CAREFULLY, 0644);
	if (f->fd == -1)
		why = open_error(errno);
	else if (fstat(f->fd, &st) == -1)
		why = strerror(errno);
	else if ((why = distrust(&st)) == NULL && st.st_size >= TEXT_SIZE)
		why = "it holds something else than a pid, and is left alone";
	if (why != NULL) {
		fail(EX_CANTCREAT, err, f->path, why);
		return -1;
	}
	if (lock(f->fd) == -1) {
		*status = on_conflict(f, errno, err);
		if (*status != EX_OK)
			return -1;
	}
	/* A master that ended meanwhile may have removed it. */
	return is_there(f) && lock(f->fd) == 0 && empty(f->fd) == 0;
}

static int
open_directory(struct pfk__pidfile *f)
{
	char *slash = strrchr(f->path, '/');
	char *path;

	f->name = slash != NULL ? slash + 1 : f->path;
	if (slash == NULL)
		path = strdup(".");
	else
		path = strndup(f->path,
		    slash > f->path ? (size_t)(slash - f->path) : 1);
	if (path != NULL)
		f->dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	free(path);
	return f->dir == -1 ? -1 : 0;
}

static void
discard(struct pfk__pidfile *f)
{
	if (f->fd != -1)
		close(f->fd);
	if (f->dir != -1)
		close(f->dir);
	free(f->path);
	free(f);
}

struct pfk__pidfile *
pfk__pidfile_lock(const char *path, int *status, char *err)
{
	struct pfk__pidfile *f = calloc(1, sizeof(*f));
	int rc = 0;

	*status = EX_CANTCREAT;
	if (f == NULL || (f->path = strdup(path)) == NULL) {
		free(f);
		fail(EX_CANTCREAT, err, path, "out of memory");
		return NULL;
	}
	f->dir = f->fd = -1;
	if (open_directory(f) == -1) {
		fail(EX_CANTCREAT, err, path, strerror(errno));
		discard(f);
		return NULL;
	}
	for (int i = 0; i < TRIES && rc == 0; i++) {
		if (f->fd != -1)
			close(f->fd);
		rc = try_lock(f, status, err);
	}
	if (rc == 1) {
		pfk_keep_fd(f->fd, false);
		pfk_keep_fd(f->dir, false);
		return f;
	}
	if (rc == 0)
		fail(EX_CANTCREAT, err, path,
		    "other processes replace it again and again; take another "
		    "--pid-file");
	discard(f);
	return NULL;
}

int
pfk__pidfile_publish(struct pfk__pidfile *f, char *err)
{
	char text[TEXT_SIZE], why[100];
	int len = snprintf(text, sizeof(text), "%d", (int)getpid());
	ssize_t n = len;

	if (read_pid(f->fd) != getpid()) {
		n = pwrite(f->fd, text, (size_t)len, 0);
		if (n == len && ftruncate(f->fd, n) == -1)
			n = -1;
	}
	if (n != len) {
		snprintf(why, sizeof(why), "cannot write: %s",
		    n == -1 ? strerror(errno) : "no space for a line");
		return fail(EX_CANTCREAT, err, f->path, why);
	}
	if (!is_there(f))
		return fail(EX_TEMPFAIL, err, f->path,
		    "another process has removed or replaced it during the "
		    "start; start again");
	return EX_OK;
}

void
pfk__pidfile_end(struct pfk__pidfile *f)
{
	if (is_there(f))
		unlinkat(f->dir, f->name, 0);
	discard(f);
}

/* signalling */

/* The running master's number from its file: an exit status. */
static int
find_master(int fd, const char *path, pid_t *pid, char *err)
{
	bool shared = false;
	pid_t other = holder(fd, &shared);
	char why[200];

	*pid = read_pid(fd);
	if (other == -1 && errno != ESRCH) {
		snprintf(why, sizeof(why), "cannot ask for its lock: %s",
		    strerror(errno));
		return fail(EX_UNAVAILABLE, err, path, why);
	}
	if (other == 0 || shared)
		return fail(EX_UNAVAILABLE, err, path,
		    "it is stale: no running master has locked it");
	if (other == -1)
		return fail(EX_UNAVAILABLE, err, path,
		    "a process of another machine or container has locked it; "
		    "act there");
	if (*pid == other)
		return EX_OK;
	if (*pid == 0)
		snprintf(why, sizeof(why),
		    "it holds no pid yet: process %d is starting", (int)other);
	else
		snprintf(why, sizeof(why),
		    "it names another process than %d, which has locked it",
		    (int)other);
	return fail(EX_UNAVAILABLE, err, path, why);
}

/*
 * A number may be another process's by now.  The descriptor stays with one
 * process, and if that still has the lock, it had it before, too.
 */
static int
signal_holder(int fd, const char *path, pid_t pid, int signo, char *err)
{
	bool shared = false;
	int process = pidfd_open(pid, 0), error = errno, status = EX_OK;
	char why[100];

	if (process != -1 && holder(fd, &shared) == pid) {
		if (pidfd_send_signal(process, signo, NULL, 0) == 0)
			goto out;
		error = errno;
	} else if (process != -1) {
		error = ESRCH;
	}
	if (error == ESRCH) {
		status = fail(EX_UNAVAILABLE, err, path,
		    "it is stale: its master has just ended");
	} else {
		snprintf(why, sizeof(why), "cannot signal its master (%d): %s",
		    (int)pid, strerror(error));
		status = fail(error == EPERM ? EX_NOPERM : EX_UNAVAILABLE, err,
		    path, why);
	}
out:
	if (process != -1)
		close(process);
	return status;
}

int
pfk__pidfile_signal(const char *path, int signo, char *err)
{
	int fd = open(path, O_RDONLY | CAREFULLY), status;
	const char *why;
	struct stat st;
	pid_t pid;

	if (fd == -1)
		return fail(errno == ELOOP ? EX_NOPERM : EX_UNAVAILABLE, err,
		    path, open_error(errno));
	why = fstat(fd, &st) == -1 ? strerror(errno) : distrust(&st);
	if (why != NULL)
		status = fail(EX_NOPERM, err, path, why);
	else
		status = find_master(fd, path, &pid, err);
	if (status == EX_OK)
		status = signal_holder(fd, path, pid, signo, err);
	close(fd);
	return status;
}
