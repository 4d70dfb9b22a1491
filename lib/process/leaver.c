/*
 * leaver.c: find a worker that leaves and keeps a listener.
 *
 * Layer: process.  A worker closes its listeners when it is ordered to leave, before
 * its loop turns again.  One that keeps them would accept clients of its successor
 * for as long as it may leave, so it is killed.  The kernel, and not the worker,
 * names its sockets: proc(5), /proc/PID/fd.  A descriptor on its way through a unix
 * socket does not stand there, so that such a queue counts if two looks in a row find
 * one.  The queues of the channel and of a client's connection do not: the master and
 * the client fill them.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process/master.h"

/* After the order; then at each end of a reload. */
#define LOOKS 3

uint64_t pfk__leaver_look_ns = 10 * PFK_SECOND_NS;

enum hold { HOLD_NOTHING, HOLD_QUEUE, HOLD_LISTENER };

struct inodes {
	ino_t *list;
	size_t n;
};

static int
compare(const void *a, const void *b)
{
	ino_t x = *(const ino_t *)a, y = *(const ino_t *)b;

	return x < y ? -1 : x > y;
}

/* Those of all listeners in custody. */
static int
list_inodes(const struct pfk__custody *c, struct inodes *in)
{
	struct stat st;

	*in = (struct inodes){.list = calloc(c->len + 1, sizeof(ino_t))};
	if (in->list == NULL)
		return -1;
	for (const struct pfk__lent *l = pfk__custody_first_of_all(c);
	     l != NULL && in->n < c->len; l = pfk__custody_next_of_all(l)) {
		if (fstat(l->fd, &st) == 0)
			in->list[in->n++] = st.st_ino;
	}
	qsort(in->list, in->n, sizeof(ino_t), compare);
	return 0;
}

/* Whether the process's socket has descriptors in its queue. */
static bool
has_queue(pid_t pid, const char *number)
{
	char path[80], text[512], *at;
	unsigned n = 0;
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%.20s", (int)pid, number);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return false;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[len > 0 ? len : 0] = '\0';
	at = strstr(text, "scm_fds:");
	return at != NULL && sscanf(at, "scm_fds: %u", &n) == 1 && n > 0;
}

/* Whether the stream has a name: its listener's, so that a client has made it. */
static bool
is_accepted(ino_t inode)
{
	FILE *f = fopen("/proc/net/unix", "re");
	unsigned long long of;
	bool found = false;
	char line[300];
	unsigned type;
	int end = 0;

	while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "%*x: %*x %*x %*x %x %*x %llu%n", &type, &of,
			&end) == 2 &&
		    of == inode)
			found = type == SOCK_STREAM && line[end] == ' ';
	}
	if (f != NULL)
		fclose(f);
	return found;
}

static enum hold
hold_of(const struct pfk__child *c, const char *number, const char *target,
    const struct inodes *in)
{
	unsigned long value;
	ino_t inode;

	if (sscanf(target, "socket:[%lu]", &value) != 1)
		return HOLD_NOTHING;
	inode = value;
	if (bsearch(&inode, in->list, in->n, sizeof(inode), compare) != NULL)
		return HOLD_LISTENER;
	return inode != c->channel_inode && has_queue(c->pid, number) &&
		!is_accepted(inode)
	    ? HOLD_QUEUE
	    : HOLD_NOTHING;
}

/* The worst of its descriptors; nothing where they are not to be seen. */
static enum hold
look_into(const struct pfk__child *c, const struct inodes *in)
{
	enum hold worst = HOLD_NOTHING, one;
	char path[40], target[64];
	struct dirent *e;
	ssize_t n;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)c->pid);
	d = opendir(path);
	if (d == NULL)
		return HOLD_NOTHING;
	while (worst != HOLD_LISTENER && (e = readdir(d)) != NULL) {
		n = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);
		if (n <= 0)
			continue;
		target[n] = '\0';
		one = hold_of(c, e->d_name, target, in);
		if (one > worst)
			worst = one;
	}
	closedir(d);
	return worst;
}

/*
 * Its loop has turned since the order came.  An orphan's beat is not known, but a
 * leaver has closed its listeners before it knocked; and a worker that stands still is
 * another module's: watch.c.
 */
static bool
has_turned(const struct pfk__child *c)
{
	uint64_t beat = __atomic_load_n(&c->pulse.page->beat, __ATOMIC_RELAXED);

	return c->ordered_ns != 0 && !c->retire_wanted &&
	    (c->leaver || beat > c->ordered_ns + pfk__leaver_look_ns / 10);
}

static enum hold
look(const struct pfk__child *c)
{
	enum hold hold = HOLD_NOTHING;
	struct inodes in;

	if (!has_turned(c) || !pfk__child_runs(c) ||
	    list_inodes(&c->master->custody, &in) == -1)
		return HOLD_NOTHING;
	hold = look_into(c, &in);
	free(in.list);
	return hold;
}

const char *
pfk__leaver_keeps(struct pfk__child *c)
{
	enum hold hold = look(c);
	bool again = c->queue_seen;

	/* That of an orphan's channel cannot be told from others. */
	c->queue_seen = hold == HOLD_QUEUE && !c->orphan;
	if (hold == HOLD_LISTENER)
		return "a listener";
	return c->queue_seen && again ? "descriptors in a socket's queue"
				      : NULL;
}

static void
on_look(void *arg)
{
	struct pfk__child *c = arg;

	if (!pfk__retire_clinging(c) && ++c->looks < LOOKS)
		pfk_timer_set(&c->look, c->master->loop, pfk__leaver_look_ns,
		    on_look, c);
}

void
pfk__leaver_watch(struct pfk__child *c)
{
	c->ordered_ns = pfk_loop_now(c->master->loop);
	c->looks = 0;
	c->queue_seen = false;
	pfk_timer_cancel(&c->look);
	pfk_timer_set(&c->look, c->master->loop, pfk__leaver_look_ns, on_look,
	    c);
}
