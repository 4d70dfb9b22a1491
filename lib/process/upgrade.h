/*
 * upgrade.h: another program file takes the place of the running one.
 *
 * Sequence: a child executes the program file with -t and the master's
 * arguments, for 10 s at most.  If it exits with 0, the master forks a stand-in
 * and executes the file in its own process, so that its pid stays.  The stand-in
 * keeps everything open, and nobody notices.  The new master takes lock and
 * control socket by number and sends GO; the stand-in tells the workers that
 * they are let go and closes all but lock and control socket.  The workers,
 * orphans now, knock and are taken over (takeover.h), then renewed as in a
 * reload.  The new master sends DONE, and the stand-in ends.
 *
 * A new master that fails while the stand-in is there executes the stand-in's
 * program, in the same process again, which sends GO and DONE, too.  If it dies, or
 * does not come to GO within 30 s, the stand-in becomes the master by executing its
 * program itself; only then the pid changes.  Either takes the workers over in the
 * same way.  With DONE the clients of the control socket have their answer.
 *
 * Invariants:
 *  1. one process or the other has lock and control socket all the time;
 *  2. the new program is executed only while each slot that has sockets has a
 *     worker, too, so that the stand-in can close its custody, and when those that
 *     leave have left, or 2 s later.  Removed slots whose
 *     sockets cannot be closed (surplus.c) get one for that.
 */
#ifndef PFK_PROCESS_UPGRADE_H
#define PFK_PROCESS_UPGRADE_H

#include <sys/types.h>

#include <stdbool.h>

struct pfk__inherited;
struct pfk__master;
struct pfk_io;
struct pfk_timer;

/* The test of the new program; all zero: there is none. */
struct pfk__trial {
	pid_t pid;
	bool good; /* it has ended well; the upgrade waits for quiet slots */
	int fd;    /* its output */
	struct pfk_io *io;
	struct pfk_timer *late;
	char text[400];
	size_t len;
	int workers; /* before some were added for the upgrade, or 0 */
	struct pfk_timer *clients; /* waits for those of the control socket */
	bool clients_late;
	struct pfk_timer *leaving; /* waits for workers that leave */
	bool leaving_late;
};

/* Begin.  NULL, or the reason for refusing; later steps are logged. */
const char *pfk__upgrade_begin(struct pfk__master *m);

/* A child has ended; true: it was the trial. */
bool pfk__upgrade_reaped(struct pfk__master *m, pid_t pid, int status);

void pfk__upgrade_cancel(struct pfk__master *m);

/* The slots may be quiet now. */
void pfk__upgrade_maintain(struct pfk__master *m);

/*
 * In the new master: it begins, awaits orphans, and all is renewed, or a stop has
 * been ordered.  -1: errno.
 */
int pfk__upgrade_enter(struct pfk__master *m);
void pfk__upgrade_go(struct pfk__master *m);
void pfk__upgrade_done(struct pfk__master *m);

/* It has failed: execute the old program, or return where that cannot be. */
void pfk__upgrade_back(struct pfk__master *m, const char *why);

/* standin.c: the bytes that the new master sends, and the process itself. */
enum {
	PFK__STANDIN_GO = 'G',
	PFK__STANDIN_DONE = 'D',
	PFK__STANDIN_BACK =
	    'B', /* the old program is executed, and says GO... */
	PFK__STANDIN_LOST = 'L' /* ...and DONE, or that it ends, too */
};

/*
 * old: the descriptors that the new master has got; the history's stays open
 * here, too.
 */
void pfk__standin_main(struct pfk__master *m, int fd,
    const struct pfk__inherited *old, pid_t master) __attribute__((noreturn));

#endif
