/*
 * lock.h: the file that the master of a service has locked, NAME.lock.
 *
 * It is flock(2)'s, so it goes with the descriptor over exec(2).  The text is for
 * those that find it locked, or locked no more:
 *
 *	1234           the pid of the last holder
 *	orphans 60     the seconds for which its workers may outlive it
 *	dead 5678      nobody held it then, by the monotonic clock (leftovers.c)
 */
#ifndef PFK_PROCESS_LOCK_H
#define PFK_PROCESS_LOCK_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

struct pfk__lock_text {
	pid_t pid;         /* 0: there is none */
	uint64_t orphan_s; /* at most PFK__LOCK_ORPHAN_MAX_S */
	bool dead;
	uint64_t dead_s;
};

/* Ten years: no time in such a file overflows. */
#define PFK__LOCK_ORPHAN_MAX_S (UINT64_C(10) * 366 * 86400)

/*
 * Open the file, with O_CREAT as the flag create it.  A link, another user's file
 * and one with two names are refused.  -1: errno, and *errstr, which may be NULL.
 */
int pfk__lock_open(const char *path, int flag, const char **errstr);

/* Whether it has not been removed since it was opened. */
bool pfk__lock_is_current(int fd, const char *path);

void pfk__lock_read(int fd, struct pfk__lock_text *t);

/*
 * This process holds it from now on, and the time for its orphans is orphan_ns, or
 * the longer one that is there.  Writes nothing that is there.  -1: errno.
 */
int pfk__lock_write(int fd, uint64_t orphan_ns);

/* Nobody has held it until now.  -1: errno. */
int pfk__lock_mark(int fd);

#endif
