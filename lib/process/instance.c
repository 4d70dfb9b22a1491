/*
 * instance.c: a running service's name, its lock and its control socket.
 *
 * Layer: process.  The lock decides between two starts.  Its holder alone makes
 * and removes the socket, so a socket that is there when the lock is taken is
 * stale.
 */
#include "process/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/inherit.h"
#include "base/received.h"
#include "base/safe_open.h"
#include "base/state.h"
#include "net/listener.h"
#include "process/leftovers.h"
#include "process/lock.h"
#include "process/name.h"
#include "process/rundir.h"

#define BACKLOG 128
/* A name that a path has room for is at least so long. */
#define NAME_MIN_BYTES 24
#define NAME_MAX_BYTES 64
#define SUFFIX_BYTES (sizeof(".sock") - 1)
/*
 * A master that was killed, or a fork of it, lets go when it has had a CPU, and one
 * that looks for orphans when it has waited for their knocks.
 */
#define LOCK_TRIES 500
#define LOCK_TRIES_ALIVE 10
#define LOCK_WAIT_MS 20

/* lock */

/*
 * One that looks leaves the text alone, because a start that reads a living pid
 * there is refused soon.  -1: errno.
 */
static int
note_holder(const struct pfk__instance *i, int fd)
{
	struct pfk__lock_text text;

	pfk__lock_read(fd, &text);
	return i->looks && text.pid != 0 ? 0
					 : pfk__lock_write(fd, i->orphan_ns);
}

/* 0: locked.  Else the errno; EWOULDBLOCK: *pid has it, or 0. */
static int
try_lock(struct pfk__instance *i, pid_t *pid, const char **errstr)
{
	int fd = pfk__lock_open(i->lock, O_CREAT, errstr), error = 0;
	struct pfk__lock_text text;

	*pid = 0;
	if (fd == -1)
		return errno;
	if (flock(fd, LOCK_EX | LOCK_NB) == -1) {
		error = errno;
		pfk__lock_read(fd, &text);
		*pid = text.pid;
	} else if (!pfk__lock_is_current(fd, i->lock)) {
		/* Its last holder removed it after it was opened. */
		error = EAGAIN;
	} else if (note_holder(i, fd) == -1) {
		error = errno;
		unlink(i->lock);
	}
	if (error != 0)
		close(fd);
	else
		i->lock_fd = fd;
	return error;
}

static int
take_lock(struct pfk__instance *i, char *err, const char **errstr)
{
	char who[80] = "a process";
	pid_t pid;
	int error;

	for (int tries = 1;; tries++) {
		error = try_lock(i, &pid, errstr);
		if (error != EWOULDBLOCK)
			break;
		/* A holder that lives has it for its life. */
		if (tries == LOCK_TRIES ||
		    (tries >= LOCK_TRIES_ALIVE && pid > 0 &&
			!pfk__process_ends(pid)))
			break;
		poll(NULL, 0, LOCK_WAIT_MS);
	}
	errno = error;
	if (error != EWOULDBLOCK)
		return error == 0 ? EX_OK : EX_CANTCREAT;
	if (pid > 0)
		snprintf(who, sizeof(who), "process %d%s", (int)pid,
		    pfk__process_state(pid) == 'T'
			? " (which is stopped: see kill -CONT)"
			: "");
	if (i->address[0] != '\0')
		snprintf(err, PFK_ERROR_SIZE,
		    "cannot start: the name for %s: in use by %s (lock %s); "
		    "stop it or give this service another name",
		    i->address, who, i->lock);
	else
		snprintf(err, PFK_ERROR_SIZE,
		    "already running: %s has locked %s; stop it or give this "
		    "service another name",
		    who, i->lock);
	return EX_TEMPFAIL;
}

/* socket */

static struct sockaddr_un
address_of(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	strlcpy(sun.sun_path, path, sizeof(sun.sun_path));
	return sun;
}

bool
pfk__instance_is_served(const char *path)
{
	struct sockaddr_un sun = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool served;

	if (fd == -1)
		return false;
	served = connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0 ||
	    errno == EAGAIN;
	close(fd);
	return served;
}

/*
 * A stale one is moved aside, and back if no socket can be made: it tells the next
 * master of a dead one's workers.
 */
static int
remove_stale(struct pfk__instance *i, const char *aside, const char **errstr)
{
	struct stat st;

	if (lstat(i->socket, &st) == -1)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode)) {
		*errstr = "it is there and is no socket; remove it";
		errno = EEXIST;
	} else if (st.st_uid != geteuid()) {
		*errstr = "it belongs to another user";
		errno = EPERM;
	} else if (pfk__instance_is_served(i->socket)) {
		*errstr = "another program listens there";
		errno = EADDRINUSE;
	} else {
		i->was_stale = true;
		return rename(i->socket, aside);
	}
	return -1;
}

static int
make_socket(struct pfk__instance *i, const char **errstr)
{
	struct sockaddr_un sun = address_of(i->socket);
	char aside[PFK_CONTROL_SIZE + 4];
	struct stat st;
	int fd, saved_errno;

	*errstr = NULL;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	snprintf(aside, sizeof(aside), "%s.old", i->socket);
	if (remove_stale(i, aside, errstr) == -1 ||
	    bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1)
		goto err1;
	/* Every user may connect; SO_PEERCRED tells the client's rights. */
	if (pfk__safe_chmod(i->socket, 0666) == -1 ||
	    lstat(i->socket, &st) == -1 || listen(fd, BACKLOG) == -1)
		goto err2;
	i->device = st.st_dev;
	i->inode = st.st_ino;
	i->fd = fd;
	if (i->was_stale)
		unlink(aside);
	return 0;
err2:
	saved_errno = errno;
	unlink(i->socket);
	errno = saved_errno;
err1:
	saved_errno = errno;
	if (i->was_stale)
		rename(aside, i->socket);
	close(fd);
	errno = saved_errno;
	return -1;
}

static bool
has_socket(const struct pfk__instance *i)
{
	struct stat st;

	return lstat(i->socket, &st) == 0 && st.st_dev == i->device &&
	    st.st_ino == i->inode;
}

/* Lock and socket of the program that this one replaces; false: other ones. */
static bool
inherit(struct pfk__instance *i, const struct pfk__inherited *from)
{
	struct sockaddr_un sun;
	socklen_t len = sizeof(sun);
	struct stat st;

	if (!pfk__lock_is_current(from->lock, i->lock) ||
	    getsockname(from->control, (struct sockaddr *)&sun, &len) == -1 ||
	    strcmp(sun.sun_path, i->socket) != 0 || lstat(i->socket, &st) == -1)
		return false;
	/* On a full disk the old text stays, and the lock counts. */
	pfk__lock_write(from->lock, i->orphan_ns);
	i->lock_fd = from->lock;
	i->fd = from->control;
	i->device = st.st_dev;
	i->inode = st.st_ino;
	i->was_stale = i->inherited = true;
	return true;
}

/* place */

/* EX_OK, EX_TEMPFAIL, or EX_CANTCREAT with the fault in err. */
static int
settle(struct pfk__instance *i, char *err)
{
	const char *errstr, *at = i->lock;
	struct pfk__inherited from;
	int status;

	if (pfk__inherited(&from)) {
		if (inherit(i, &from))
			return EX_OK;
		snprintf(err, PFK_ERROR_SIZE,
		    "cannot take over the running service: the new program "
		    "has its lock at %s, which is another one; restart the "
		    "service instead",
		    i->lock);
		return EX_CONFIG;
	}
	status = take_lock(i, err, &errstr);

	if (status == EX_OK) {
		at = i->socket;
		if (make_socket(i, &errstr) == 0)
			return EX_OK;
		status = errno == EADDRINUSE ? EX_TEMPFAIL : EX_CANTCREAT;
	} else if (status == EX_TEMPFAIL) {
		return status;
	}
	/* Another place would not help. */
	if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
		status = EX_OSERR;
	snprintf(err, PFK_ERROR_SIZE, "cannot create %s: %s", at,
	    errstr != NULL ? errstr : strerror(errno));
	return status;
}

static int
open_path(struct pfk__instance *i, const char *path, char *err)
{
	char full[PATH_MAX + 1] = "";
	size_t n;

	/* The directory may change before a successor looks for it. */
	if (path[0] != '/' && getcwd(full, sizeof(full) - 1) != NULL)
		strlcat(full, "/", sizeof(full));
	if (strlcat(full, path, sizeof(full)) >= sizeof(i->socket)) {
		snprintf(err, PFK_ERROR_SIZE,
		    "the control socket's path is over %d bytes: %.300s",
		    PFK_CONTROL_SIZE - 1, full);
		return EX_CANTCREAT;
	}
	strlcpy(i->socket, full, sizeof(i->socket));
	n = strlen(full);
	if (n > SUFFIX_BYTES && strcmp(full + n - SUFFIX_BYTES, ".sock") == 0)
		full[n - SUFFIX_BYTES] = '\0';
	snprintf(i->lock, sizeof(i->lock), "%.*s.lock", PFK_CONTROL_SIZE, full);
	return settle(i, err);
}

/* One of the default places. */
static int
open_in(struct pfk__instance *i, const char *dir,
    const struct pfk_master_config *config, char *err)
{
	size_t used = strlen(dir) + 1 + SUFFIX_BYTES;
	size_t room = PFK_CONTROL_SIZE - 1 - used;

	if (used + NAME_MIN_BYTES >= PFK_CONTROL_SIZE) {
		snprintf(err, PFK_ERROR_SIZE, "%s is too long a path", dir);
		return EX_CANTCREAT;
	}
	pfk__name_make(i->name, room < NAME_MAX_BYTES ? room : NAME_MAX_BYTES,
	    config);
	/* The length of name was checked, with the text before and after it. */
	strlcpy(i->socket, dir, sizeof(i->socket));
	strlcat(i->socket, "/", sizeof(i->socket));
	strlcat(i->socket, i->name, sizeof(i->socket));
	strlcpy(i->lock, i->socket, sizeof(i->lock));
	strlcat(i->socket, ".sock", sizeof(i->socket));
	strlcat(i->lock, ".lock", sizeof(i->lock));
	return settle(i, err);
}

static int
open_default(struct pfk__instance *i, const struct pfk_master_config *config,
    char *err)
{
	char dir[PFK_CONTROL_SIZE], why[PFK_ERROR_SIZE];
	struct pfk__inherited from;
	const char *errstr;
	int status;

	for (int k = 0; pfk__rundir_get(k, dir); k++) {
		if (dir[0] == '\0')
			continue;
		why[0] = '\0';
		status = EX_CANTCREAT;
		if (pfk__rundir_prepare(k, dir, &errstr) == 0)
			status = open_in(i, dir, config, why);
		else
			snprintf(why, sizeof(why), "cannot use %s: %s", dir,
			    errstr != NULL ? errstr : strerror(errno));
		/*
		 * The program before may have had to take a later place, which
		 * is in use now.
		 */
		if (status != EX_CANTCREAT && status != EX_CONFIG) {
			strlcpy(err, why, PFK_ERROR_SIZE);
			if (status == EX_OK && pfk__rundir_is_shared(k))
				pfk__leftovers_remove(dir);
			return status;
		}
		pfk__instance_close(i);
		/* The first place is the one to put right. */
		if (err[0] == '\0')
			strlcpy(err, why, PFK_ERROR_SIZE);
	}
	i->socket[0] = '\0';
	return pfk__inherited(&from) ? EX_CONFIG : EX_OK;
}

int
pfk__instance_open(struct pfk__instance *i,
    const struct pfk_master_config *config, char *err)
{
	char address[PFK_ADDR_SIZE];
	int status = EX_OK;

	*i = (struct pfk__instance){.lock_fd = -1,
	    .fd = -1,
	    .orphan_ns = config->orphan_ns};
	err[0] = '\0';
	if (config->control == NULL && config->name == NULL &&
	    config->address != NULL)
		snprintf(i->address, sizeof(i->address), "%s %s",
		    pfk__kind_name(config->address->kind),
		    pfk_addr_format(address, &config->address->addr));
	pfk__name_make(i->name, NAME_MAX_BYTES, config);
	if (config->control == NULL)
		status = open_default(i, config, err);
	else if (strcmp(config->control, "off") != 0)
		status = open_path(i, config->control, err);
	if (status != EX_OK)
		pfk__instance_close(i);
	return status;
}

int
pfk__instance_look(struct pfk__instance *i, const char *control, char *err)
{
	int status;

	*i = (struct pfk__instance){.lock_fd = -1, .fd = -1, .looks = true};
	err[0] = '\0';
	status = open_path(i, control, err);
	if (status != EX_OK)
		pfk__instance_close(i);
	return status;
}

void
pfk__instance_orphans(struct pfk__instance *i, uint64_t orphan_ns)
{
	i->orphan_ns = orphan_ns;
	if (i->lock_fd != -1)
		pfk__lock_write(i->lock_fd, orphan_ns);
}

bool
pfk__instance_is_whole(const struct pfk__instance *i)
{
	return i->fd != -1 && has_socket(i) &&
	    pfk__lock_is_current(i->lock_fd, i->lock);
}

int
pfk__instance_restore(struct pfk__instance *i, const char **errstr)
{
	char dir[PFK_CONTROL_SIZE];
	int old = i->lock_fd;
	pid_t pid;

	*errstr = NULL;
	if (i->fd != -1)
		pfk__close_emptied(i->fd);
	i->fd = -1;
	strlcpy(dir, i->socket, sizeof(dir));
	*strrchr(dir, '/') = '\0';
	/* A new one is closed to others: the lost one's mode is unknown. */
	if (dir[0] != '\0' && mkdir(dir, 0700) == -1 && errno != EEXIST)
		return -1;
	if (!pfk__lock_is_current(old, i->lock)) {
		errno = try_lock(i, &pid, errstr);
		if (errno == EWOULDBLOCK)
			*errstr = "another service has taken the name";
		if (errno != 0)
			return -1;
		close(old);
	}
	return make_socket(i, errstr);
}

/*
 * Clients in its backlog may have sent descriptors.  A stand-in that becomes the
 * master again has a copy of an inherited one, which a shutdown would end.
 */
static void
end_listening(struct pfk__instance *i)
{
	if (i->inherited && i->stays)
		close(i->fd);
	else
		pfk__close_emptied(i->fd);
}

void
pfk__instance_close(struct pfk__instance *i)
{
	if (i->fd != -1) {
		end_listening(i);
		if (!i->stays && has_socket(i))
			unlink(i->socket);
	}
	i->fd = -1;
	if (i->lock_fd != -1) {
		if (!i->stays && pfk__lock_is_current(i->lock_fd, i->lock))
			unlink(i->lock);
		close(i->lock_fd);
	}
	i->lock_fd = -1;
}
