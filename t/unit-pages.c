/*
 * pages.c: areas shared with children, each with its own only.
 */
#include "process/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

#define MANY 150 /* more than two regions have */

static struct pfk__pages pages;
static char *page[MANY];

/* The child keeps one page and writes another; how it ends. */
static int
write_in_child(const char *keep, char *at)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL); /* the sanitizer's */
		if (pfk__pages_keep(&pages, keep) == -1)
			_exit(2);
		*(volatile char *)at = 1;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}

/* Open the file by /proc, as a worker of the same user could. */
static void
sealed(void)
{
	char *area = pfk__pages_get(&pages), path[40];
	const char *seen;
	const void *writable;
	off_t offset;
	int fd = pfk__pages_fd(&pages, area, &offset), again;

	area[1] = 7;
	is_int(fd != -1, 1, "an area is in a file");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_CLOEXEC);
	is_int(again != -1, 1, "which can be opened again");
	writable = mmap(NULL, PFK__AREA_BYTES, PROT_READ | PROT_WRITE,
	    MAP_SHARED, again, offset);
	ok(writable == MAP_FAILED && errno == EPERM,
	    "and not be mapped to be written");
	ok(pwrite(again, "x", 1, offset) == -1 && errno == EPERM,
	    "nor written");
	ok(ftruncate(again, 0) == -1 && errno == EPERM, "nor cut");
	ok(ftruncate(again, 1 << 30) == -1 && errno == EPERM, "nor grow");
	seen = pfk__pages_read(again, offset);
	ok(seen != NULL && seen[1] == 7, "another master can read the area");
	area[1] = 8;
	is_int(seen[1], 8, "and sees its changes");
	ok(pfk__pages_read(again, offset + 1) == NULL, "not at any offset");
	ok(pfk__pages_read(again, (off_t)1 << 40) == NULL,
	    "nor behind its end");
	pfk__pages_forget(seen);
	close(again);
	pfk__pages_put(&pages, area);
}

/* A limit of file sizes is for files. */
static void
without_file(void)
{
	struct rlimit old, none = {.rlim_cur = 0};
	struct pfk__pages others = {SLIST_HEAD_INITIALIZER(others.regions)};
	off_t offset;
	char *area;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	none.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_FSIZE, &none);
	area = pfk__pages_get(&others);
	setrlimit(RLIMIT_FSIZE, &old);
	ok(area != NULL && area[0] == 0, "an area without a file");
	is_int(pfk__pages_fd(&others, area, &offset), -1, "which has none");
	pfk__pages_put(&others, area);
}

int
main(void)
{
	int dirty = 0, reused = 0;
	char *fresh;

	for (int i = 0; i < MANY; i++) {
		page[i] = pfk__pages_get(&pages);
		dirty += page[i] == NULL || *page[i] != 0;
	}
	is_int(dirty, 0, "areas of zeros, more than a region has");
	for (int i = 0; i < MANY; i += 70) {
		is_int(write_in_child(page[i], page[i]), 0, "page %d", i);
		is_int(*page[i], 1, "page %d: the parent sees it", i);
		is_int(write_in_child(page[i], page[(i + 1) % MANY]), SIGSEGV,
		    "page %d: the next is not mapped", i);
		is_int(write_in_child(page[i], page[(i + 75) % MANY]), SIGSEGV,
		    "page %d: nor is one of another region", i);
	}
	pfk__pages_put(&pages, page[MANY - 1]);
	fresh = pfk__pages_get(&pages);
	for (int i = 0; i < MANY; i++)
		reused += page[i] == fresh;
	is_int(reused, 0, "no page is given out twice");
	pfk__pages_put(&pages, fresh);
	for (int i = 0; i < MANY - 1; i++)
		pfk__pages_put(&pages, page[i]);
	ok(SLIST_EMPTY(&pages.regions), "all regions are unmapped");
	sealed();
	without_file();
	return done_testing();
}
