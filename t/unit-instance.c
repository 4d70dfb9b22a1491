/*
 * instance.c: a control socket that cannot be had, and one that was removed and is
 * made anew.
 */
#include "process/instance.h"

#include <errno.h>
#include <poll.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "linger.h"
#include "tap.h"
#include "tree.h"
#include "unit.h"

/* A wait is one of nine hours: then the test is killed. */
#define PATIENCE_S 60

static const char *dir;
static char path[PFK_CONTROL_SIZE], err[PFK_ERROR_SIZE];
static struct pfk_master_config config = {.control = path};

/* calls that fail with this errno; 0: they do not */

static int no_socket, no_bind, no_listen;

int
socket(int domain, int type, int protocol)
{
	errno = no_socket;
	return errno != 0 ? -1
			  : (int)syscall(SYS_socket, domain, type, protocol);
}

int
bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	errno = no_bind;
	return errno != 0 ? -1 : (int)syscall(SYS_bind, fd, addr, len);
}

int
listen(int fd, int n)
{
	errno = no_listen;
	return errno != 0 ? -1 : (int)syscall(SYS_listen, fd, n);
}

/* A process that has the lock; it ends when another has tried for so long. */
#define TRIES 50

static pid_t holder;

static void
end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int
poll(struct pollfd *fds, nfds_t nfds, int timeout)
{
	static int tries;

	if (holder != 0 && ++tries == TRIES) {
		end(holder);
		holder = 0;
	}
	return (int)syscall(SYS_poll, fds, nfds, timeout);
}

/* tools */

static void
name_socket(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", dir, name);
}

/* It is refused with that status and these words. */
static void
refused(int expected, const char *why)
{
	struct pfk__instance i;
	int before = unit_count_fds();
	int status = pfk__instance_open(&i, &config, err);

	if (!ok(status == expected && strstr(err, why) != NULL, "refused: %s",
		why))
		diag("%d %s", status, err);
	is_int(unit_count_fds(), before, "nothing is left open");
}

static struct pfk__instance
open_it(void)
{
	struct pfk__instance i;

	if (!ok(pfk__instance_open(&i, &config, err) == EX_OK, "opened"))
		skip_all("%s", err);
	return i;
}

enum child { LIVES, DIES, LOOKS };

/* A child that has the name, or has had it and is dead. */
static pid_t
open_elsewhere(enum child how)
{
	int fds[2];
	char byte;
	pid_t pid;

	if (pipe(fds) == -1 || (pid = fork()) == -1)
		skip_all("no child");
	if (pid == 0) {
		struct pfk__instance i;
		int status = how == LOOKS
		    ? pfk__instance_look(&i, path, err)
		    : pfk__instance_open(&i, &config, err);

		if (write(fds[1], status == EX_OK ? "y" : "n", 1) != 1 ||
		    how == DIES)
			_exit(0);
		for (;;)
			pause();
	}
	close(fds[1]);
	ok(read(fds[0], &byte, 1) == 1 && byte == 'y', "opened elsewhere");
	close(fds[0]);
	if (how == DIES)
		waitpid(pid, NULL, 0);
	return pid;
}

/* tests */

static void
test_place(void)
{
	static char name[] = "alone";
	struct pfk__instance i;

	name_socket("place.sock");
	i = open_it();
	ok(pfk__instance_is_whole(&i), "whole");
	ok(pfk__instance_is_served(path), "served");
	pfk__instance_orphans(&i, PFK_SECOND_NS);
	pfk__instance_close(&i);
	ok(access(path, F_OK) == -1, "removed");
	ok(!pfk__instance_is_served(path), "and not served");
	if (chdir(dir) == -1)
		skip_all("no directory");
	config.control = name;
	i = open_it();
	ok(i.socket[0] == '/' && strstr(i.lock, "/alone.lock") != NULL,
	    "a relative path is made whole");
	pfk__instance_close(&i);
	memset(path, 'x', sizeof(path) - 1);
	config.control = path;
	refused(EX_CANTCREAT, "path is over 107 bytes");
}

static void
test_others(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd;
	pid_t pid;

	name_socket("none/x.sock");
	refused(EX_CANTCREAT, strerror(ENOENT));
	tree_put("file.sock", "");
	name_socket("file.sock");
	refused(EX_CANTCREAT, "is no socket; remove it");
	name_socket("other.sock");
	strlcpy(sun.sun_path, path, sizeof(sun.sun_path));
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	is_int(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0, "a socket");
	is_int(listen(fd, 1), 0, "of another program");
	refused(EX_TEMPFAIL, "another program listens there");
	close(fd);
	if (chown(path, 12345, (gid_t)-1) == 0)
		refused(EX_CANTCREAT, "belongs to another user");
	else
		skip(2, "only root gives files away");
	name_socket("locked.sock");
	pid = open_elsewhere(LIVES);
	refused(EX_TEMPFAIL, "already running: process");
	end(pid);
}

/* prefork-ctl has the lock while a master starts. */
static void
test_looks(void)
{
	struct pfk__instance i;

	name_socket("looks.sock");
	open_elsewhere(DIES);
	holder = open_elsewhere(LOOKS);
	is_int(pfk__instance_open(&i, &config, err), EX_OK,
	    "a master waits for one that looks");
	ok(i.was_stale, "and finds the dead one's socket");
	pfk__instance_close(&i);
	if (!ok(holder == 0, "until that has ended"))
		end(holder);
	holder = 0;
}

static void
test_errors(void)
{
	struct pfk__instance i;

	name_socket("errors.sock");
	no_socket = EMFILE;
	refused(EX_OSERR, strerror(EMFILE));
	no_socket = 0;
	/* A stale socket stays for the next try. */
	open_elsewhere(DIES);
	no_bind = EACCES;
	refused(EX_CANTCREAT, strerror(EACCES));
	no_bind = 0;
	ok(access(path, F_OK) == 0, "the stale socket is there");
	no_listen = ENOMEM;
	refused(EX_OSERR, strerror(ENOMEM));
	no_listen = 0;
	ok(access(path, F_OK) == 0, "still");
	i = open_it();
	ok(i.was_stale, "and is found");
	pfk__instance_close(&i);
}

static void
test_restore(void)
{
	struct pfk__instance i;
	const char *errstr;
	pid_t pid;

	is_int(mkdir("restore", 0700), 0, "a directory");
	name_socket("restore/x.sock");
	i = open_it();
	unlink(i.socket);
	ok(!pfk__instance_is_whole(&i), "the socket is missing");
	is_int(pfk__instance_restore(&i, &errstr), 0, "made anew");
	ok(pfk__instance_is_whole(&i), "whole");
	unlink(i.lock);
	ok(!pfk__instance_is_whole(&i), "the lock is missing");
	is_int(pfk__instance_restore(&i, &errstr), 0, "made anew");
	unlink(i.lock);
	unlink(i.socket);
	is_int(rmdir("restore"), 0, "nothing is left");
	is_int(pfk__instance_restore(&i, &errstr), 0, "made anew");
	ok(pfk__instance_is_whole(&i), "whole");
	unlink(i.lock);
	unlink(i.socket);
	pid = open_elsewhere(LIVES);
	is_int(pfk__instance_restore(&i, &errstr), -1, "the name is another's");
	is_str(errstr, "another service has taken the name", "says why");
	end(pid);
	is_int(pfk__instance_restore(&i, &errstr), 0, "which has ended");
	pfk__instance_close(&i);
	ok(access(path, F_OK) == -1, "removed");
}

/* A client that has sent a descriptor whose close(2) would wait for nine hours. */
static int
start_hostile_client(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), lingering = linger_socket();

	strlcpy(sun.sun_path, path, sizeof(sun.sun_path));
	is_int(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0,
	    "a hostile client");
	is_int(linger_send(fd, "x", 1, &lingering, 1), 1,
	    "has sent a descriptor");
	close(lingering);
	return fd;
}

/* It is still in the backlog when its socket is closed. */
static void
test_backlog(void)
{
	struct pfk__instance i;
	const char *errstr;
	int fd;

	alarm(PATIENCE_S);
	name_socket("backlog.sock");
	i = open_it();
	fd = start_hostile_client();
	unlink(i.socket);
	is_int(pfk__instance_restore(&i, &errstr), 0, "made anew at once");
	close(fd);
	fd = start_hostile_client();
	pfk__instance_close(&i);
	ok(access(path, F_OK) == -1, "closed at once");
	close(fd);
	alarm(0);
}

/* A program that gives way to the one before leaves it the listener. */
static void
test_inherited(void)
{
	struct pfk__instance i;
	int copy;

	name_socket("inherited.sock");
	i = open_it();
	copy = dup(i.fd);
	i.inherited = i.stays = true;
	pfk__instance_close(&i);
	ok(pfk__instance_is_served(path), "an inherited one listens on");
	close(copy);
}

int
main(void)
{
	dir = tree_make();
	test_place();
	test_others();
	test_looks();
	test_errors();
	test_restore();
	test_backlog();
	test_inherited();
	tree_remove();
	return done_testing();
}
