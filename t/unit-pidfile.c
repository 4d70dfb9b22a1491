/*
 * pidfile.c: a file that cannot be had or trusted, a lock of another process, and
 * calls that fail.
 */
#include "main/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <prefork.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "tap.h"
#include "tree.h"

static const char *dir;
static char path[200], err[PFK__PIDFILE_ERROR];

/* calls that fail with this errno; 0: they do not */

static int no_lock, no_question, no_rename, no_truncate, no_signal, no_pidfd;
static bool is_replaced, is_short;

int
fcntl(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	errno = cmd == F_SETLK ? no_lock : cmd == F_GETLK ? no_question : 0;
	return errno != 0 ? -1 : (int)syscall(SYS_fcntl, fd, cmd, arg);
}

int
renameat(int oldfd, const char *old, int newfd, const char *new)
{
	errno = no_rename;
	return errno != 0 ? -1
			  : (int)syscall(SYS_renameat, oldfd, old, newfd, new);
}

int
ftruncate(int fd, off_t length)
{
	errno = no_truncate;
	return errno != 0 ? -1 : (int)syscall(SYS_ftruncate, fd, length);
}

ssize_t
pwrite(int fd, const void *buf, size_t n, off_t offset)
{
	return syscall(SYS_pwrite64, fd, buf, is_short ? n - 1 : n, offset);
}

int
fstatat(int fd, const char *restrict file, struct stat *restrict buf, int flag)
{
	int rc = (int)syscall(SYS_newfstatat, fd, file, buf, flag);

	buf->st_ino += is_replaced;
	return rc;
}

int
pidfd_open(pid_t pid, unsigned flags)
{
	errno = no_pidfd;
	return errno != 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, flags);
}

int
pidfd_send_signal(int pidfd, int sig, siginfo_t *info, unsigned flags)
{
	errno = no_signal;
	return errno != 0
	    ? -1
	    : (int)syscall(SYS_pidfd_send_signal, pidfd, sig, info, flags);
}

/* tools */

static void
name_file(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", dir, name);
}

/* A child that has written the text to the file and has such a lock on it. */
static pid_t
hold(short type, const char *text)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET};
	int fds[2];
	char byte;
	pid_t pid;

	if (pipe(fds) == -1 || (pid = fork()) == -1)
		skip_all("no child");
	if (pid == 0) {
		int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
		char own[20];

		/* nohup(1) ignores it. */
		signal(SIGHUP, SIG_DFL);
		snprintf(own, sizeof(own), "%d", (int)getpid());
		if (text == NULL)
			text = own;
		if (write(fd, text, strlen(text)) == -1 ||
		    fcntl(fd, F_SETLK, &l) == -1 || write(fds[1], "x", 1) == -1)
			_exit(1);
		for (;;)
			pause();
	}
	close(fds[1]);
	is_int(read(fds[0], &byte, 1), 1, "a lock of another process");
	close(fds[0]);
	return pid;
}

/* The signal that it has died of. */
static int
await_end(pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	unlink(path);
	return WTERMSIG(status);
}

static int
end(pid_t pid)
{
	kill(pid, SIGKILL);
	return await_end(pid);
}

/* The lock is refused with that status and these words. */
static void
refused(int expected, const char *why)
{
	int status = EX_OK;
	struct pfk__pidfile *f = pfk__pidfile_lock(path, &status, err);

	ok(f == NULL && status == expected && strstr(err, why) != NULL,
	    "locked: %s", why);
	if (f != NULL || status != expected || strstr(err, why) == NULL)
		diag("%d %s", status, err);
}

/* And so is a signal. */
static void
unheard(int expected, const char *why)
{
	int status = pfk__pidfile_signal(path, SIGTERM, err);

	if (!ok(status == expected && strstr(err, why) != NULL, "told: %s",
		why))
		diag("%d %s", status, err);
}

static struct pfk__pidfile *
lock_it(void)
{
	int status = EX_OK;
	struct pfk__pidfile *f = pfk__pidfile_lock(path, &status, err);

	if (!ok(f != NULL, "locked"))
		skip_all("%s", err);
	return f;
}

/* tests */

static void
test_life(void)
{
	struct pfk__pidfile *f;
	int pid = 0;
	FILE *in;

	name_file("life");
	f = lock_it();
	is_int(pfk__pidfile_publish(f, err), EX_OK, "published");
	is_int(pfk__pidfile_publish(f, err), EX_OK, "twice");
	in = fopen(path, "re");
	ok(in != NULL && fscanf(in, "%d", &pid) == 1 && pid == getpid(),
	    "with its number");
	if (in != NULL)
		fclose(in);
	pfk__pidfile_end(f);
	ok(access(path, F_OK) == -1, "and removed");
	/* By a name alone. */
	if (chdir(dir) == -1)
		skip_all("no directory");
	snprintf(path, sizeof(path), "alone");
	f = lock_it();
	unlink(path);
	pfk__pidfile_end(f);
}

static void
test_not_published(void)
{
	struct pfk__pidfile *f;

	name_file("publish");
	f = lock_it();
	is_short = true;
	is_int(pfk__pidfile_publish(f, err), EX_CANTCREAT, "no space");
	ok(strstr(err, "no space for a line") != NULL, "is named");
	is_short = false;
	no_truncate = EIO;
	is_int(pfk__pidfile_publish(f, err), EX_CANTCREAT, "an error");
	ok(strstr(err, strerror(EIO)) != NULL, "is named");
	no_truncate = 0;
	unlink(path);
	is_int(pfk__pidfile_publish(f, err), EX_TEMPFAIL, "removed meanwhile");
	pfk__pidfile_end(f);
}

/* Files that are no pid file of ours. */
static void
test_others(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char other[220];
	int fd;

	snprintf(path, sizeof(path), "%s/none/x", dir);
	refused(EX_CANTCREAT, strerror(ENOENT));
	unheard(EX_UNAVAILABLE, strerror(ENOENT));
	snprintf(path, sizeof(path), "/.");
	refused(EX_CANTCREAT, strerror(EISDIR));
	unheard(EX_NOPERM, "not a regular file");
	name_file("link");
	is_int(symlink("x", path), 0, "a link");
	refused(EX_CANTCREAT, "symbolic link");
	unheard(EX_NOPERM, "symbolic link");
	name_file("fifo");
	is_int(mkfifo(path, 0600), 0, "a FIFO");
	refused(EX_CANTCREAT, "not a regular file");
	name_file("socket");
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%.90s", path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	is_int(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0, "a socket");
	close(fd);
	refused(EX_CANTCREAT, "not a regular file");
	name_file("file");
	tree_put("file", "12345678901234567890123456789012");
	chmod(path, 0644);
	refused(EX_CANTCREAT, "something else than a pid");
	snprintf(other, sizeof(other), "%s-2", path);
	is_int(link(path, other), 0, "a second name");
	refused(EX_CANTCREAT, "hard link");
	unheard(EX_NOPERM, "hard link");
	unlink(other);
	chmod(path, 0666);
	refused(EX_CANTCREAT, "chmod go-w");
	if (chown(path, 12345, (gid_t)-1) == 0)
		refused(EX_CANTCREAT, "belongs to another user");
	else
		skip(1, "only root gives files away");
	unlink(path);
}

static void
test_locked(void)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	pid_t pid;
	int fd;

	name_file("locked");
	pid = hold(F_WRLCK, NULL);
	refused(EX_TEMPFAIL, "already running: process");
	no_question = ENOLCK;
	unheard(EX_UNAVAILABLE, "cannot ask for its lock");
	no_question = 0;
	no_pidfd = EMFILE;
	unheard(EX_UNAVAILABLE, strerror(EMFILE));
	no_pidfd = ESRCH;
	unheard(EX_UNAVAILABLE, "its master has just ended");
	no_pidfd = 0;
	no_signal = EPERM;
	unheard(EX_NOPERM, strerror(EPERM));
	no_signal = 0;
	is_int(pfk__pidfile_signal(path, SIGHUP, err), EX_OK, "a signal");
	is_int(await_end(pid), SIGHUP, "has arrived");
	pid = hold(F_WRLCK, "");
	refused(EX_TEMPFAIL, "which is starting");
	unheard(EX_UNAVAILABLE, "holds no pid yet");
	end(pid);
	pid = hold(F_WRLCK, "garbage\n");
	refused(EX_TEMPFAIL, "already running: process");
	unheard(EX_UNAVAILABLE, "names another process");
	end(pid);
	tree_put("locked", "1\n");
	chmod(path, 0644);
	unheard(EX_UNAVAILABLE, "stale");
	/* Such a lock has no process. */
	fd = open(path, O_RDWR);
	is_int(fcntl(fd, F_OFD_SETLK, &l), 0, "a lock without a process");
	refused(EX_TEMPFAIL, "of another machine or container");
	unheard(EX_UNAVAILABLE, "another machine or container");
	close(fd);
	no_lock = ENOLCK;
	refused(EX_CANTCREAT, "a file system with locks");
	no_lock = 0;
	is_replaced = true;
	refused(EX_CANTCREAT, "other processes replace it again and again");
	is_replaced = false;
	unlink(path);
}

/* Each user that may read the file can have a shared lock. */
static void
test_shared(void)
{
	struct pfk__pidfile *f;
	pid_t pid;

	name_file("shared");
	pid = hold(F_RDLCK, NULL);
	unheard(EX_UNAVAILABLE, "stale");
	no_rename = EROFS;
	refused(EX_CANTCREAT, "it cannot be replaced");
	no_rename = 0;
	f = lock_it();
	is_int(pfk__pidfile_publish(f, err), EX_OK, "in a new file");
	pfk__pidfile_end(f);
	is_int(end(pid), SIGKILL, "nobody is signalled");
}

int
main(void)
{
	umask(022);
	dir = tree_make();
	test_life();
	test_not_published();
	test_others();
	test_locked();
	test_shared();
	tree_remove();
	return done_testing();
}
