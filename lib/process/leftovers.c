/*
 * leftovers.c: remove the locks and control sockets of services that are long gone.
 *
 * Layer: process.  A master that was killed leaves both, and its workers look for the
 * next master by the socket.  So nothing is removed before the orphan timeout has
 * passed since the first start that found the lock free: no one knows when the master
 * died.  Both are removed under the lock, as by its holder (instance.c).
 */
#include "process/leftovers.h"

#include <dirent.h>
#include <errno.h>
#include <prefork.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "event/loop.h"
#include "process/instance.h"
#include "process/lock.h"

#define SUFFIX ".lock"
#define SUFFIX_BYTES (sizeof(SUFFIX) - 1)
/* For a worker that did not run when its master died. */
#define GRACE_S 60

struct sample {
	char names[PFK__LEFTOVERS_MAX][PFK_CONTROL_SIZE];
	unsigned seen;
};

/* Each entry has the same chance, so that in the end all are looked at. */
static void
take(struct sample *s, const char *name)
{
	size_t len = strlen(name);
	unsigned at;

	if (len <= SUFFIX_BYTES || len >= sizeof(s->names[0]) ||
	    strcmp(name + len - SUFFIX_BYTES, SUFFIX) != 0)
		return;
	at = s->seen++;
	if (at >= PFK__LEFTOVERS_MAX)
		at = arc4random_uniform(s->seen);
	if (at < PFK__LEFTOVERS_MAX)
		strlcpy(s->names[at], name, sizeof(s->names[at]));
}

static bool
may_have_orphans(const struct pfk__lock_text *t)
{
	uint64_t now = pfk__clock_now() / PFK_SECOND_NS;

	/* If the clock is behind, the machine has been started since. */
	return now >= t->dead_s && now - t->dead_s <= t->orphan_s + GRACE_S;
}

/* Whose lock this process holds. */
static void
judge(int fd, const char *lock, const char *socket)
{
	struct pfk__lock_text t;
	struct stat st;

	pfk__lock_read(fd, &t);
	/* A master that begins has not locked it yet. */
	if (t.pid == 0)
		return;
	if (lstat(socket, &st) == -1) {
		if (errno == ENOENT)
			unlink(lock);
	} else if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid()) {
		return;
	} else if (!t.dead) {
		pfk__lock_mark(fd);
	} else if (!may_have_orphans(&t) && !pfk__instance_is_served(socket) &&
	    unlink(socket) == 0) {
		unlink(lock);
		pfk_log(PFK_DEBUG,
		    "removed %s, whose master was killed long ago", socket);
	}
}

static void
look(const char *dir, const char *name)
{
	char lock[PFK_CONTROL_SIZE + 8], socket[PFK_CONTROL_SIZE];
	const char *errstr;
	int fd, len = (int)(strlen(name) - SUFFIX_BYTES);

	if (snprintf(socket, sizeof(socket), "%s/%.*s.sock", dir, len, name) >=
	    (int)sizeof(socket))
		return;
	snprintf(lock, sizeof(lock), "%s/%s", dir, name);
	fd = pfk__lock_open(lock, 0, &errstr);
	if (fd == -1)
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && pfk__lock_is_current(fd, lock))
		judge(fd, lock, socket);
	close(fd);
}

void
pfk__leftovers_remove(const char *dir)
{
	struct sample *s = calloc(1, sizeof(*s));
	DIR *d = opendir(dir);
	struct dirent *e;

	while (s != NULL && d != NULL && (e = readdir(d)) != NULL)
		take(s, e->d_name);
	for (unsigned i = 0; s != NULL && i < s->seen && i < PFK__LEFTOVERS_MAX;
	     i++)
		look(dir, s->names[i]);
	if (d != NULL)
		closedir(d);
	free(s);
}
