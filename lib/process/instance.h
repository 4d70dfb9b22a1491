/*
 * instance.h: a running service's name, its lock and its control socket.
 *
 * Invariants:
 *  1. no process has the socket but the one that holds the lock;
 *  2. the lock is flock(2)'s, so it goes with the descriptor over exec; a forked
 *     process closes its copy before it does anything else.
 */
#ifndef PFK_PROCESS_INSTANCE_H
#define PFK_PROCESS_INSTANCE_H

#include <prefork.h>

struct pfk__instance {
	char name[PFK_CONTROL_SIZE];
	char address[PFK_ADDR_SIZE + 8]; /* that it was named by, or "" */
	char socket[PFK_CONTROL_SIZE];   /* its path; "" where there is none */
	char lock[PFK_CONTROL_SIZE + 8];
	uint64_t
	    orphan_ns; /* the workers may outlive their master for so long */
	int lock_fd;
	int fd; /* listens, or -1 */
	dev_t device;
	ino_t inode;    /* the socket's, to know it again */
	bool was_stale; /* a dead process's was there */
	bool inherited; /* from the program that this one replaces */
	bool stays;     /* after the end, for orphans: lock and socket, too */
	bool looks;     /* see pfk__instance_look */
};

/*
 * Lock the service's name and listen.  Returns EX_OK, with fd -1 where there is
 * to be no socket or no place for one; then err says why, or is empty for "off".
 * Otherwise an exit status, with the cause in err (PFK_ERROR_SIZE bytes).
 */
int pfk__instance_open(struct pfk__instance *i,
    const struct pfk_master_config *config, char *err);

/*
 * The same for a process that looks for a dead master's orphans and soon lets go: a
 * master that starts meanwhile waits for it, and is not refused.
 */
int pfk__instance_look(struct pfk__instance *i, const char *control, char *err);

/* The configuration has another time for orphans. */
void pfk__instance_orphans(struct pfk__instance *i, uint64_t orphan_ns);

/* Whether a process listens at the socket. */
bool pfk__instance_is_served(const char *path);

/*
 * Whether lock and socket are where they were made; and make those anew that are
 * not, the directory too.  -1: errno, and *errstr, which may be NULL.
 */
bool pfk__instance_is_whole(const struct pfk__instance *i);
int pfk__instance_restore(struct pfk__instance *i, const char **errstr);

/* Remove socket and lock, unless they stay. */
void pfk__instance_close(struct pfk__instance *i);

#endif
