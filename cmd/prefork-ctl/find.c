/*
 * find.c: which running service is meant.
 *
 * A socket counts when a process accepts a connect; the socket that a killed
 * master has left does not.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "ctl.h"

#define SUFFIX ".sock"
#define INSTANCES_MAX 256

/* Sockets in the directories at which nobody listens any more, ... */
struct stale {
	char path[PFK_CONTROL_SIZE]; /* of the first one */
	size_t n;
	/* ... and the first one that could not be asked whether somebody does. */
	char refused[PFK_CONTROL_SIZE];
	int error;
};

static int
cannot_connect(char *err, const char *path)
{
	int error = errno;
	int status = error == EACCES ? EX_NOPERM : EX_UNAVAILABLE;
	struct stat st;

	if (error == ECONNREFUSED && stat(path, &st) == 0 &&
	    !S_ISSOCK(st.st_mode)) {
		snprintf(err, PFK_ERROR_SIZE,
		    "cannot connect to %s: it is not a socket", path);
		return status;
	}
	snprintf(err, PFK_ERROR_SIZE, "cannot connect to %s: %s%s", path,
	    strerror(error),
	    error == ECONNREFUSED ? "; the service has died"
		: error == EAGAIN ? "; the service does not respond"
				  : "");
	return status;
}

/* Connect, and learn the listener's pid.  -1: errno. */
static int
open_instance(struct instance *i, const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct ucred peer;
	struct timeval patience = {.tv_sec = 2};
	socklen_t len = sizeof(peer);

	errno = ENAMETOOLONG;
	if (strlcpy(i->path, path, sizeof(i->path)) >= sizeof(i->path) ||
	    strlcpy(sun.sun_path, path, sizeof(sun.sun_path)) >=
		sizeof(sun.sun_path))
		return -1;
	i->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (i->fd == -1)
		return -1;
	/* Only while the queue is full; then it fails with EAGAIN. */
	setsockopt(i->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(i->fd, (struct sockaddr *)&sun, sizeof(sun)) == 0 &&
	    getsockopt(i->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0) {
		i->pid = peer.pid;
		i->uid = peer.uid;
		return 0;
	}
	len = (socklen_t)errno;
	close(i->fd);
	errno = (int)len;
	return -1;
}

/* by name, or the only one */

static bool
is_socket_name(const char *file, const char *name)
{
	size_t n = strlen(file), suffix = strlen(SUFFIX);

	if (n <= suffix || strcmp(file + n - suffix, SUFFIX) != 0)
		return false;
	return name == NULL ||
	    (strlen(name) == n - suffix &&
		strncmp(file, name, n - suffix) == 0);
}

/* By pid or name where they are given; else those that this user commands. */
static bool
is_wanted(const struct instance *i, const char *name, pid_t pid)
{
	if (pid != 0)
		return i->pid == pid;
	return name != NULL || geteuid() == 0 || i->uid == geteuid();
}

/* A service of another user is nobody's business unless it was named. */
static void
note_failure(struct stale *stale, const char *path, int error, bool named)
{
	if (error == ECONNREFUSED) {
		if (stale->n++ == 0)
			strlcpy(stale->path, path, sizeof(stale->path));
	} else if (error != ENOENT && (error != EACCES || named) &&
	    stale->error == 0) {
		stale->error = error;
		strlcpy(stale->refused, path, sizeof(stale->refused));
	}
}

static void
scan(const char *dir, const char *name, pid_t pid, struct instance *list,
    size_t *n, struct stale *stale)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char path[PFK_CONTROL_SIZE + 300];

	while (d != NULL && *n < INSTANCES_MAX && (e = readdir(d)) != NULL) {
		struct instance *i = &list[*n];
		bool again = false;

		if (!is_socket_name(e->d_name, name))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (open_instance(i, path) == -1) {
			note_failure(stale, path, errno, name != NULL);
			continue;
		}
		/* Two of the directories may be the same. */
		for (size_t k = 0; k < *n; k++)
			again = again || list[k].pid == i->pid;
		if (again || !is_wanted(i, name, pid))
			close(i->fd);
		else
			(*n)++;
	}
	if (d != NULL)
		closedir(d);
}

static void
list_all(const struct instance *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *file = strrchr(list[i].path, '/') + 1;

		fprintf(stderr, "  --name %-40.*s pid %d, %s\n",
		    (int)(strlen(file) - strlen(SUFFIX)), file,
		    (int)list[i].pid, list[i].path);
	}
}

static size_t
scan_all(const char *name, pid_t pid, struct instance *list,
    struct stale *stale)
{
	char dir[PFK_CONTROL_SIZE];
	size_t n = 0;

	for (int i = 0; pfk_control_directory(i, dir); i++) {
		if (dir[0] != '\0')
			scan(dir, name, pid, list, &n, stale);
	}
	return n;
}

static int
find_named(const char *name, struct instance *found, char *err)
{
	static struct instance list[INSTANCES_MAX];
	char who[120] = "of this user";
	struct stale stale = {.n = 0};
	size_t n = scan_all(name, 0, list, &stale);

	if (n == 1) {
		*found = list[0];
		return EX_OK;
	}
	if (n == 0) {
		if (stale.n == 1)
			strlcpy(found->path, stale.path, sizeof(found->path));
		errno = stale.error;
		if (stale.n == 0 && stale.error != 0)
			return cannot_connect(err, stale.refused);
		if (name != NULL)
			snprintf(who, sizeof(who), "called '%.100s'", name);
		snprintf(err, PFK_ERROR_SIZE,
		    "no service %s is running; -s SOCKET names one that is "
		    "elsewhere",
		    who);
		return EX_UNAVAILABLE;
	}
	pfk_complain("%zu services are running; choose one by --name or -s:",
	    n);
	list_all(list, n);
	return EX_USAGE;
}

/* by pid file */

/*
 * prefork-echo has a lock of fcntl(2)'s, which tells its holder; servers that use
 * pidfile(3) have one of flock(2)'s.
 */
static bool
is_locked_by(int fd, pid_t pid)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(fd, F_GETLK, &l) == 0 && l.l_type == F_WRLCK)
		return l.l_pid == pid;
	return flock(fd, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK;
}

static pid_t
read_pid(const char *path, char *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[32];
	const char *errstr;
	ssize_t n;
	pid_t pid;

	if (fd == -1) {
		snprintf(err, PFK_ERROR_SIZE, "cannot read pid file %s: %s",
		    path, strerror(errno));
		return -1;
	}
	n = read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	pid = (pid_t)strtonum(text, 1, INT32_MAX, &errstr);
	if (errstr != NULL) {
		snprintf(err, PFK_ERROR_SIZE,
		    "pid file %s holds no pid; is the service starting?", path);
		pid = -1;
	} else if (!is_locked_by(fd, pid)) {
		snprintf(err, PFK_ERROR_SIZE,
		    "pid file %s is stale: process %d has not locked it", path,
		    (int)pid);
		pid = -1;
	}
	close(fd);
	return pid;
}

/* Whether the process has a descriptor of the socket with this inode. */
static bool
has_socket(pid_t pid, const char *inode)
{
	char dir[40], path[320], target[64], wanted[64];
	struct dirent *e;
	bool found = false;
	DIR *d;

	snprintf(dir, sizeof(dir), "/proc/%d/fd", (int)pid);
	snprintf(wanted, sizeof(wanted), "socket:[%.40s]", inode);
	d = opendir(dir);
	while (d != NULL && !found && (e = readdir(d)) != NULL) {
		ssize_t n;

		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		found = strcmp(target, wanted) == 0;
	}
	if (d != NULL)
		closedir(d);
	return found;
}

/*
 * The process's listening socket, where it is at a path of its own: unix(7) sockets in
 * /proc/net/unix are "slot: references protocol flags type state inode path".
 */
static bool
socket_of(pid_t pid, char *dst, size_t size)
{
	FILE *f = fopen("/proc/net/unix", "re");
	char line[512], inode[24], flags[16];
	bool found = false;
	int at;

	while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		at = 0;
		if (sscanf(line, "%*s %*s %*s %15s %*s %*s %23s %n", flags,
			inode, &at) != 2 ||
		    at == 0 || line[at] != '/' || strtoul(flags, NULL, 16) == 0)
			continue;
		found = has_socket(pid, inode) &&
		    strlcpy(dst, line + at, size) < size;
	}
	if (f != NULL)
		fclose(f);
	return found;
}

static int
find_pid(const char *pid_file, struct instance *found, char *err)
{
	static struct instance list[INSTANCES_MAX];
	char path[PFK_CONTROL_SIZE];
	struct stale stale = {.n = 0};
	pid_t pid = read_pid(pid_file, err);

	if (pid == -1)
		return EX_UNAVAILABLE;
	if (scan_all(NULL, pid, list, &stale) > 0) {
		*found = list[0];
		return EX_OK;
	}
	if (!socket_of(pid, path, sizeof(path))) {
		snprintf(err, PFK_ERROR_SIZE,
		    "the service of %s, process %d, has no control socket that "
		    "this user can see",
		    pid_file, (int)pid);
		return EX_UNAVAILABLE;
	}
	return open_instance(found, path) == 0 ? EX_OK
					       : cannot_connect(err, path);
}

int
find_service(const struct ctl *c, struct instance *found, char *err)
{
	if (c->pid_file != NULL)
		return find_pid(c->pid_file, found, err);
	if (c->socket == NULL)
		return find_named(c->name, found, err);
	if (open_instance(found, c->socket) == 0)
		return EX_OK;
	if (errno != ECONNREFUSED)
		found->path[0] = '\0';
	return cannot_connect(err, c->socket);
}
