/*
 * keeper.h: a process that shares a worker's descriptors and outlives it.
 *
 * master -> keeper -> worker.  The keeper is the worker's parent and has one
 * descriptor table with it (clone(2), CLONE_FILES without CLONE_VM), and one
 * ledger (event/ledger.h).  So nothing is closed when the worker dies: the
 * keeper clones the next one into the same table, at once and by itself, also
 * while the master is stopped or dead.  When the master has died, it also kills a
 * worker that hangs, so that the next one can knock at the next master's.  It does
 * nothing else: it opens nothing, reads no socket, and holds nothing of other slots.
 *
 * Invariants:
 *  1. the keeper is a clean image: it has run none of the program's code, and a
 *     worker that it clones begins where the first one began;
 *  2. it has no more rights than its worker: it drops privileges before the
 *     worker does.
 */
#ifndef PFK_PROCESS_KEEPER_H
#define PFK_PROCESS_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Shared by master, keeper and worker of one child.  No side trusts the others
 * further than the field's comment says.
 */
struct pfk__page {
	uint64_t beat; /* heartbeat.h */
	/* By the worker: it has all the connections that it may have. */
	uint32_t full;
	/* By the master: do not clone another one; SIGUSR2 kills this one. */
	uint32_t last;
	/* By the master: the deaths that it knows of. */
	uint32_t noted;
	/* By the keeper: its deaths. */
	uint32_t deaths;
	/* By keeper and master: the last death that either has logged. */
	uint32_t logged;
	/* By the keeper as it ends: the worker's status as wait(2) has it. */
	uint32_t ended;
	int32_t status;
	char doing[200]; /* then, where a signal has killed it */
};

struct pfk_worker;
struct pfk__ledger;

/* doing.c: the work of the worker when it died. */
void pfk__describe_doing(const struct pfk__ledger *g, char *buf, size_t size);

/* doing.c: whether the caller logs the nth death: the other one does not, then. */
bool pfk__claim_death(struct pfk__page *page, uint32_t n);

/* "exited with status 1", "killed by signal 9 (SIGKILL)". */
void pfk__describe_status(int status, char *buf, size_t size);

/* Be the keeper, or the worker itself where there can be no keeper. */
void pfk__keeper_main(struct pfk_worker *w) __attribute__((noreturn));

/*
 * In the worker that is about to become another user: let the keeper become it
 * first.  Does nothing where there is none.  -1 with errno.
 */
int pfk__keeper_drop(const char *user, uid_t uid, gid_t gid);

#endif
