/*
 * fds.c: descriptors, also where a sandbox denies the newer calls.
 *
 * Layer: base.
 */
#include "base/fds.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <prefork.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/inherit.h"
#include "base/kept.h"
#include "base/log.h"
#include "base/passed.h"

/* More than any process has. */
#define FDS_MAX (1u << 20)

static int
set_flags(int fd, int flags)
{
	if ((flags & O_CLOEXEC) != 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == -1)
		return -1;
	/* It is new: no other file status flag is set. */
	if ((flags & O_NONBLOCK) != 0)
		return fcntl(fd, F_SETFL, O_NONBLOCK);
	return 0;
}

static_assert(SOCK_NONBLOCK == O_NONBLOCK && SOCK_CLOEXEC == O_CLOEXEC,
    "flags of accept4");

int
pfk__accept(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	socklen_t room = len != NULL ? *len : 0;
	int new = accept4(fd, addr, len, flags), saved_errno;

	if (new != -1 || !pfk__is_denied(errno))
		return new;
	if (len != NULL)
		*len = room;
	new = accept(fd, addr, len);
	if (new == -1 || set_flags(new, flags) == 0)
		return new;
	saved_errno = errno;
	close(new);
	errno = saved_errno;
	return -1;
}

int
pfk__may_accept(void)
{
	pfk__accept(-1, NULL, NULL, 0);
	return pfk__is_denied(errno) ? -1 : 0;
}

static int
compare(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

void
pfk_ensure_stdio(void)
{
	int fd;

	/* The lowest free number is taken each time. */
	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd != -1)
		close(fd);
}

/* Without close_range(2) and without /proc. */
static void
close_by_number(unsigned from, unsigned to)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == -1 || r.rlim_max > FDS_MAX)
		r.rlim_max = FDS_MAX;
	if (to >= r.rlim_max)
		to = (unsigned)r.rlim_max - 1;
	for (unsigned fd = from; fd <= to; fd++)
		close((int)fd);
}

static void
close_range_slowly(unsigned from, unsigned to)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;

	if (d == NULL) {
		close_by_number(from, to);
		return;
	}
	while ((e = readdir(d)) != NULL) {
		unsigned long fd = strtoul(e->d_name, NULL, 10);

		if (fd >= from && fd <= to && (int)fd != dirfd(d))
			close((int)fd);
	}
	closedir(d);
}

static void
close_from_to(unsigned from, unsigned to)
{
	if (close_range(from, to, 0) == -1)
		close_range_slowly(from, to);
}

void
pfk__close_others(int *keep, size_t n)
{
	int from = STDERR_FILENO + 1;

	qsort(keep, n, sizeof(*keep), compare);
	for (size_t i = 0; i < n; i++) {
		if (keep[i] < from)
			continue;
		if (keep[i] > from)
			close_from_to((unsigned)from, (unsigned)keep[i] - 1);
		from = keep[i] + 1;
	}
	close_from_to((unsigned)from, ~0u);
}

void
pfk__close_inherited(void)
{
	size_t passed = (size_t)pfk__passed_count(), n;
	size_t max = pfk__kept_count() + 1 + PFK__INHERITED_MAX + passed;
	int *keep = calloc(max, sizeof(*keep)), log;

	pfk__log_forked();
	if (keep == NULL) {
		/* Out of memory so early, it will not run for long. */
		log = pfk__log_fd();
		pfk__close_others(&log, 1);
		return;
	}
	n = pfk__kept_named(keep);
	n += pfk__inherited_fds(keep + n);
	for (size_t i = 0; i < passed; i++)
		keep[n++] = PFK__PASSED_FIRST + (int)i;
	keep[n++] = pfk__log_fd();
	pfk__close_others(keep, n);
	free(keep);
}
