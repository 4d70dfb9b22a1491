/*
 * spawn.c: fork the process of a worker, without the descriptors of all others.
 *
 * Layer: process.  clone(2), close_range(2), dup3(2).
 */
#include "process/spawn.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/kept.h"
#include "base/log.h"
#include "base/valgrind.h"
#include "event/fork.h"
#include "logger/logger.h"
#include "process/master.h"

#define ALL (PFK__BERTHS * PFK__BERTH)

int pfk__spawn_many = 64;

/* berths */

/* The highest number of a descriptor that all processes have. */
static int
highest_common(void)
{
	int *kept = calloc(pfk__kept_count() + 1, sizeof(*kept));
	int top = pfk__log_fd();
	size_t n;

	if (kept == NULL)
		return INT_MAX - 1;
	n = pfk__kept(kept);
	for (size_t i = 0; i < n; i++)
		top = kept[i] > top ? kept[i] : top;
	free(kept);
	return top;
}

static void
close_berths(struct pfk__berths *b, int n)
{
	if (n > 0)
		close_range((unsigned)b->first, (unsigned)(b->first + n - 1),
		    0);
}

/* Take as many numbers in a row as all berths have; -1: not to be had. */
static int
take_numbers(struct pfk__berths *b, int null)
{
	int fd = highest_common(), n = 0;

	while (n < ALL) {
		fd = fcntl(null, F_DUPFD_CLOEXEC, fd + 1);
		/* Others may be between them: begin anew. */
		if (fd == -1 || (n > 0 && fd != b->first + n)) {
			close_berths(b, n);
			n = 0;
		}
		if (fd == -1)
			return -1;
		if (n++ == 0)
			b->first = fd;
	}
	return 0;
}

/*
 * While a child has this table, too, CLOSE_RANGE_UNSHARE must not be tried: the
 * child would be left with all of it.
 */
static int
reserve(struct pfk__berths *b)
{
	int null;

	if (close_range(~0u, ~0u, CLOSE_RANGE_UNSHARE) == -1)
		return -1;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null == -1)
		return -1;
	if (take_numbers(b, null) == -1) {
		close(null);
		return -1;
	}
	b->null = null;
	return 0;
}

static int
number(const struct pfk__berths *b, int berth, int i)
{
	return b->first + berth * PFK__BERTH + i;
}

static void
clear(const struct pfk__berths *b, int berth)
{
	for (int i = 0; i < PFK__BERTH; i++)
		dup3(b->null, number(b, berth, i), O_CLOEXEC);
}

static int
fill(const struct pfk__master *m, int slot, int berth, int channel, int writer)
{
	const struct pfk__berths *b = &m->berths;
	const struct pfk__lent *l;
	int i = 2;

	if (dup3(channel, number(b, berth, 0), O_CLOEXEC) == -1 ||
	    dup3(writer, number(b, berth, 1), O_CLOEXEC) == -1)
		return -1;
	for (l = pfk__custody_first(&m->custody, slot); l != NULL;
	     l = pfk__custody_next(l)) {
		if (dup3(l->fd, number(b, berth, i++), O_CLOEXEC) == -1)
			return -1;
	}
	return 0;
}

/* the master */

/*
 * Other threads may hold locks, which only fork(2) looks after; valgrind ends a
 * process that shares its table in this way (3.19).
 */
static bool
may_share(void)
{
	return __libc_single_threaded && !pfk__under_valgrind();
}

/* A berth with the descriptors that c needs, or -1: fork(2) does it. */
static int
find_berth(struct pfk__master *m, const struct pfk__child *c, int channel,
    int writer)
{
	struct pfk__berths *b = &m->berths;
	int berth = 0;

	if (m->workers < pfk__spawn_many || !may_share() ||
	    pfk__custody_count(&m->custody, c->slot) > PFK__BERTH - 2 ||
	    (b->null == 0 && reserve(b) == -1) || highest_common() > b->first)
		return -1;
	while (berth < PFK__BERTHS && b->user[berth] != NULL)
		berth++;
	if (berth == PFK__BERTHS)
		return -1;
	if (fill(m, c->slot, berth, channel, writer) == -1) {
		clear(b, berth);
		return -1;
	}
	b->user[berth] = c;
	return berth;
}

void
pfk__spawn_over(const struct pfk__child *c)
{
	struct pfk__berths *b = &c->master->berths;

	for (int i = 0; i < PFK__BERTHS; i++) {
		if (b->user[i] != c)
			continue;
		b->user[i] = NULL;
		clear(b, i);
	}
}

void
pfk__spawn_end(struct pfk__master *m)
{
	struct pfk__berths *b = &m->berths;

	if (b->null == 0)
		return;
	close_berths(b, ALL);
	close(b->null);
	*b = (struct pfk__berths){0};
}

/* the child */

/* Nothing may be closed before this: the table is the master's. */
static void
leave_table(const struct pfk__berths *b)
{
	if (close_range((unsigned)(b->first + ALL), ~0u, CLOSE_RANGE_UNSHARE) ==
		-1 &&
	    unshare(CLONE_FILES) == -1)
		_exit(EX_OSERR);
}

static void
be_child(struct pfk__master *m, int slot, int berth, int *channel, int log)
{
	const struct pfk__berths *b = &m->berths;
	struct pfk__lent *l = pfk__custody_first(&m->custody, slot);

	leave_table(b);
	pfk__fork_noted();
	*channel = number(b, berth, 0);
	pfk__logger_move(m->logger, log, number(b, berth, 1));
	for (int i = 2; l != NULL; l = pfk__custody_next(l))
		l->fd = number(b, berth, i++);
}

pid_t
pfk__spawn(struct pfk__master *m, struct pfk__child *c, int *channel, int log)
{
	int berth = find_berth(m, c, *channel,
	    pfk__logger_writer(m->logger, log));
	sigset_t all, old;
	pid_t pid;

	/* Or it would be written once for each worker. */
	fflush(NULL);
	/* The child's handlers are its own only once it has set them. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = berth == -1 ? fork()
			  : (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD,
				NULL, NULL, NULL, NULL);
	if (pid == 0 && berth != -1)
		be_child(m, c->slot, berth, channel, log);
	if (pid == -1)
		pfk__spawn_over(c);
	if (pid != 0)
		sigprocmask(SIG_SETMASK, &old, NULL);
	return pid;
}
