/*
 * fds.c: close_range(2) around a set of descriptors to keep.
 *
 * Layer: base.
 */
#include "base/fds.h"

#include <fcntl.h>
#include <prefork.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

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

void
pfk__close_others(int *keep, size_t n)
{
	int from = STDERR_FILENO + 1;

	qsort(keep, n, sizeof(*keep), compare);
	for (size_t i = 0; i < n; i++) {
		if (keep[i] < from)
			continue;
		if (keep[i] > from)
			close_range((unsigned)from, (unsigned)keep[i] - 1, 0);
		from = keep[i] + 1;
	}
	close_range((unsigned)from, ~0u, 0);
}

void
pfk_close_inherited(void)
{
	int keep = pfk__log_fd();

	pfk__log_forked();
	pfk__close_others(&keep, 1);
}
