/*
 * unix.c: sockets of AF_UNIX: names, listeners, connections.
 *
 * Layer: net.  unix(7).  A path is taken by rename(2), so that it leads to one
 * listener or the next at each moment; a lock beside it tells whether the
 * process that has taken it lives.
 */
#include <errno.h>
#include <fcntl.h>
#include <prefork.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/misuse.h"
#include "base/received.h"
#include "base/safe_open.h"
#include "net/addr.h"

#define NO_BACKLOG (-2)
#define NAME_SIZE (sizeof(((struct sockaddr_un *)NULL)->sun_path) + 8)

/* A name beginning with @ is an abstract one. */
int
pfk__unix_name(struct sockaddr_un *un, socklen_t *len, const char *path)
{
	size_t n = strlen(path);

	*un = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (n == 0 || strcmp(path, "@") == 0) {
		errno = EINVAL;
		return -1;
	}
	if (n >= sizeof(un->sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(un->sun_path, path, n);
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	if (path[0] == '@')
		un->sun_path[0] = '\0';
	else
		++*len;
	return 0;
}

/* The same for the program's call. */
static int
name_for(const char *call, struct sockaddr_un *un, socklen_t *len,
    const char *path)
{
	if (pfk__unix_name(un, len, path) == 0)
		return 0;
	if (errno == EINVAL)
		pfk__misuse(EINVAL, "%s: the path is empty", call);
	return -1;
}

static int
new_socket(int type)
{
	return socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Close it, and fail with the errno of before. */
static int
give_up(int fd)
{
	int saved_errno = errno;

	if (fd != -1)
		close(fd);
	errno = saved_errno;
	return -1;
}

int
pfk_unix_connect(const char *path)
{
	struct sockaddr_un un;
	socklen_t len;
	int fd, on = 1;

	if (name_for("pfk_unix_connect", &un, &len, path) == -1 ||
	    (fd = new_socket(SOCK_STREAM)) == -1)
		return -1;
	/* As pfk_connect does: urgent data would be lost to recv(2). */
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	if (connect(fd, (struct sockaddr *)&un, len) == -1)
		return give_up(fd);
	return fd;
}

int
pfk_unix_datagram(const char *path)
{
	const struct sockaddr own = {.sa_family = AF_UNIX};
	struct sockaddr_un un;
	socklen_t len;
	int fd;

	if (name_for("pfk_unix_datagram", &un, &len, path) == -1 ||
	    (fd = new_socket(SOCK_DGRAM)) == -1)
		return -1;
	/* A name of the kernel's, at which it is answered. */
	if (bind(fd, &own, sizeof(sa_family_t)) == -1 ||
	    connect(fd, (struct sockaddr *)&un, len) == -1)
		return give_up(fd);
	return fd;
}

static bool
answers(const char *path)
{
	int fd = pfk_unix_connect(path);
	/* One of another type is somebody, too. */
	bool yes = fd != -1 || errno == EAGAIN || errno == EPROTOTYPE;

	if (fd != -1)
		close(fd);
	return yes;
}

/* The path is free, or has a socket that may be replaced. */
static int
check_old(const char *path, bool locked_first)
{
	struct stat st;

	if (lstat(path, &st) == -1)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return -1;
	}
	/* It is no service of this library's. */
	if (locked_first && answers(path)) {
		errno = EADDRINUSE;
		return -1;
	}
	return 0;
}

/*
 * The lock of the path, for the life of this process: workers do not have it.
 * *first: nobody had one before.
 */
static int
lock(const char *name, bool *first)
{
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	*first = fd != -1;
	if (fd == -1 && errno == EEXIST)
		fd = open(name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		return -1;
	/* A stand-in of the old image has it during an upgrade. */
	if (flock(fd, LOCK_EX | LOCK_NB) == -1 && !pfk_upgrading()) {
		if (errno == EWOULDBLOCK)
			errno = EADDRINUSE;
		return give_up(fd);
	}
	if (pfk_keep_fd(fd, false) == -1)
		return give_up(fd);
	return fd;
}

/* A socket of datagrams is at work once it is bound: its backlog is NO_BACKLOG. */
static int
start(int fd, int backlog)
{
	return backlog != NO_BACKLOG ? listen(fd, backlog) : 0;
}

/* Listen at another name, and give it the path in place of the old socket. */
static int
take_path(int fd, const char *path, mode_t mode, int backlog)
{
	char other[NAME_SIZE];
	struct sockaddr_un un;
	socklen_t len;

	snprintf(other, sizeof(other), "%s.new", path);
	if (pfk__unix_name(&un, &len, other) == -1 ||
	    (unlink(other) == -1 && errno != ENOENT) ||
	    bind(fd, (struct sockaddr *)&un, len) == -1)
		return -1;
	/* Nobody can connect before it listens. */
	if (pfk__safe_chmod(other, mode) == -1 || start(fd, backlog) == -1 ||
	    rename(other, path) == -1) {
		int saved_errno = errno;

		unlink(other);
		errno = saved_errno;
		return -1;
	}
	return 0;
}

static int
listen_abstract(int fd, const char *path, int backlog)
{
	struct sockaddr_un un;
	socklen_t len;

	return pfk__unix_name(&un, &len, path) == 0 &&
		bind(fd, (struct sockaddr *)&un, len) == 0
	    ? start(fd, backlog)
	    : -1;
}

static int
listen_locked(int fd, const char *path, mode_t mode, int backlog)
{
	char name[NAME_SIZE];
	int locked, saved_errno;
	bool first;

	snprintf(name, sizeof(name), "%s.lock", path);
	locked = lock(name, &first);
	if (locked == -1)
		return -1;
	if (check_old(path, first) == 0 &&
	    take_path(fd, path, mode, backlog) == 0)
		return 0; /* the lock is kept */
	saved_errno = errno;
	if (first)
		unlink(name);
	close(locked);
	errno = saved_errno;
	return -1;
}

static int
open_at(const char *call, const char *path, int type, mode_t mode, int backlog)
{
	struct sockaddr_un un;
	socklen_t len;
	int fd, rc;

	if (name_for(call, &un, &len, path) == -1)
		return -1;
	fd = new_socket(type);
	if (fd == -1)
		return -1;
	/* Nobody wants descriptors, here and in accepted connections. */
	pfk__receive_none(fd);
	rc = path[0] == '@' ? listen_abstract(fd, path, backlog)
			    : listen_locked(fd, path, mode, backlog);
	/* Of a program of pfk_main, too. */
	if (rc == 0)
		rc = pfk_keep_fd(fd, true);
	return rc == 0 ? fd : give_up(fd);
}

int
pfk_unix_listen(const char *path, mode_t mode, int backlog)
{
	if (backlog < 0 && backlog != PFK_UNSET)
		return pfk__misuse(EINVAL, "pfk_unix_listen: the backlog is %d",
		    backlog);
	return open_at("pfk_unix_listen", path, SOCK_STREAM, mode,
	    backlog != PFK_UNSET ? backlog : SOMAXCONN);
}

int
pfk_unix_bind(const char *path, mode_t mode)
{
	int fd = open_at("pfk_unix_bind", path, SOCK_DGRAM, mode, NO_BACKLOG);
	int bytes = PFK_UDP_BUFFER;

	/* It holds the answers that connected clients have not read. */
	if (fd != -1 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) ==
		-1)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return fd;
}

void
pfk__addr_clip(struct pfk_addr *a)
{
	if (a->sa.sa_family == AF_UNIX)
		*a = (struct pfk_addr){.len = sizeof(sa_family_t),
		    .sa.sa_family = AF_UNIX};
}

int
pfk__addr_of_unix(struct pfk_addr *a, int fd)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return -1;
	*a = (struct pfk_addr){.len = sizeof(a->in6), .sa.sa_family = AF_UNIX};
	memcpy(&a->in6.sin6_addr, &st.st_ino, sizeof(st.st_ino));
	return 0;
}
