/*
 * kept.c: descriptors of the program that the workers of its service have too.
 *
 * Layer: base.
 */
#include "base/kept.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <prefork.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/misuse.h"

/* Without /proc the numbers up to this are tried. */
#define TRIED_MAX 65536

struct entry {
	int fd;
	bool keep;
	dev_t dev;
	ino_t ino;
};

static struct entry *entries;
static size_t used;

static struct entry *
find(int fd)
{
	for (size_t i = 0; i < used; i++) {
		if (entries[i].fd == fd)
			return &entries[i];
	}
	return NULL;
}

/* Whether the descriptor is still the file that the entry was made for. */
static bool
is_same(const struct entry *e)
{
	struct stat st;

	return fstat(e->fd, &st) == 0 && st.st_dev == e->dev &&
	    st.st_ino == e->ino;
}

static int
enter(int fd, bool keep)
{
	struct entry *e = find(fd), *more;
	struct stat st;

	if (fstat(fd, &st) == -1)
		return -1;
	if (e == NULL) {
		more = reallocarray(entries, used + 1, sizeof(*more));
		if (more == NULL)
			return -1;
		entries = more;
		e = &entries[used++];
	}
	*e = (struct entry){.fd = fd,
	    .keep = keep,
	    .dev = st.st_dev,
	    .ino = st.st_ino};
	return 0;
}

int
pfk_keep_fd(int fd, bool keep)
{
	if (fd >= 0 && fd <= STDERR_FILENO)
		return pfk__misuse(EINVAL,
		    "pfk_keep_fd: descriptor %d is a standard one, which the "
		    "library replaces in workers",
		    fd);
	if (pfk__need_open("pfk_keep_fd", fd) == -1)
		return -1;
	return enter(fd, keep);
}

/* Unless the program has said otherwise. */
static int
keep_if_open(int fd)
{
	const struct entry *e = find(fd);

	if (fcntl(fd, F_GETFD) == -1 || (e != NULL && is_same(e)))
		return 0;
	return enter(fd, true);
}

static int
try_each(int except)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == -1 || r.rlim_cur > TRIED_MAX)
		r.rlim_cur = TRIED_MAX;
	for (int fd = STDERR_FILENO + 1; fd < (int)r.rlim_cur; fd++) {
		if (fd != except && keep_if_open(fd) == -1)
			return -1;
	}
	return 0;
}

int
pfk__kept_open(int except)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	int rc = 0;

	if (d == NULL)
		return try_each(except);
	while (rc == 0 && (e = readdir(d)) != NULL) {
		int fd = (int)strtol(e->d_name, NULL, 10);

		if (fd > STDERR_FILENO && fd != except && fd != dirfd(d))
			rc = keep_if_open(fd);
	}
	closedir(d);
	return rc;
}

size_t
pfk__kept_count(void)
{
	return used;
}

static size_t
list_same(int *list, bool all)
{
	size_t n = 0;

	for (size_t i = 0; i < used; i++) {
		if ((all || entries[i].keep) && is_same(&entries[i]))
			list[n++] = entries[i].fd;
	}
	return n;
}

size_t
pfk__kept(int *list)
{
	return list_same(list, false);
}

size_t
pfk__kept_named(int *list)
{
	return list_same(list, true);
}
