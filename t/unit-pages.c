/*
 * pages.c: pages shared with children, each with its own only.
 */
#include "process/pages.h"

#include <prefork.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

#define MANY 1500 /* more than one region has */

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

int
main(void)
{
	int dirty = 0, reused = 0;
	char *fresh;

	for (int i = 0; i < MANY; i++) {
		page[i] = pfk__pages_get(&pages);
		dirty += page[i] == NULL || *page[i] != 0;
	}
	is_int(dirty, 0, "pages of zeros, more than a region has");
	for (int i = 0; i < MANY; i += 700) {
		is_int(write_in_child(page[i], page[i]), 0, "page %d", i);
		is_int(*page[i], 1, "page %d: the parent sees it", i);
		is_int(write_in_child(page[i], page[(i + 1) % MANY]), SIGSEGV,
		    "page %d: the next is not mapped", i);
		is_int(write_in_child(page[i], page[(i + 1100) % MANY]),
		    SIGSEGV, "page %d: nor is one of another region", i);
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
	return done_testing();
}
