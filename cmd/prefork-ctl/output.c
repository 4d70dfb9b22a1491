/*
 * output.c: replace a file by an answer in one step.  A reader finds the old file
 * or the new one and never a part, as node_exporter(1) wants its textfiles.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "ctl.h"

static int
write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* It must be readable for the collector, which is another user. */
static int
write_file(const char *name, int fd, const char *text, size_t len,
    const char *path)
{
	int error;

	if (fchmod(fd, 0644) == 0 && write_all(fd, text, len) == 0 &&
	    rename(name, path) == 0)
		return close(fd);
	error = errno;
	unlink(name);
	close(fd);
	errno = error;
	return -1;
}

int
output_replace(const struct ctl *c, const char *text, size_t len)
{
	char *name;
	int fd;

	/* Beside it, and with a suffix that no collector reads. */
	if (asprintf(&name, "%s.XXXXXX", c->output) == -1) {
		pfk_complain("out of memory");
		return EX_OSERR;
	}
	fd = mkstemp(name);
	if (fd == -1 || write_file(name, fd, text, len, c->output) == -1) {
		pfk_complain("cannot write %s: %s; the old file stays",
		    c->output, strerror(errno));
		free(name);
		return EX_CANTCREAT;
	}
	free(name);
	return EX_OK;
}
