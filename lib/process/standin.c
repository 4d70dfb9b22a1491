/*
 * standin.c: the process that can be the old program's master again.
 *
 * Layer: process.
 */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fds.h"
#include "base/inherit.h"
#include "base/log.h"
#include "base/program.h"
#include "base/signals.h"
#include "base/title.h"
#include "process/control.h"
#include "process/master.h"

#define GO_MS 30000

static void
answer(struct pfk__master *m, bool upgraded)
{
	struct pfk__client *c, *next;

	TAILQ_FOREACH_SAFE(c, &m->control->clients, link, next) {
		if (c->wish != PFK__WISH_UPGRADE)
			continue;
		c->io = NULL;
		if (upgraded)
			pfk__client_done(c, "upgraded");
		else
			pfk__client_fail(c, EX_UNAVAILABLE,
			    "the new program did not serve, and the old one is "
			    "back; the log has the cause");
	}
}

/*
 * Send LET_GO, so that the workers look for the new master, and close the
 * descriptors here that would be in its way.
 */
static void
let_go(struct pfk__master *m, int fd, int history)
{
	const struct pfk__instance *i = &m->control->instance;
	struct pfk__message msg = {.type = PFK__MSG_LET_GO};
	size_t n = 0, max = 5;
	const struct pfk__client *c;
	int *keep;

	pfk__children_tell(m, &msg, -1);
	TAILQ_FOREACH(c, &m->control->clients, link)
		max++;
	keep = calloc(max, sizeof(*keep));
	if (keep == NULL)
		_exit(EX_OSERR);
	keep[n++] = fd;
	keep[n++] = i->lock_fd;
	keep[n++] = i->fd;
	keep[n++] = pfk__log_fd();
	if (history != -1)
		keep[n++] = history;
	TAILQ_FOREACH(c, &m->control->clients, link) {
		if (c->wish == PFK__WISH_UPGRADE)
			keep[n++] = c->fd;
	}
	pfk__close_others(keep, n);
	free(keep);
}

static void __attribute__((noreturn))
come_back(struct pfk__master *m, const struct pfk__inherited *old)
{
	struct pfk__inherited ours = *old;

	pfk_log(PFK_ERROR,
	    "upgrade failed: the new program ended before it served; the old "
	    "one is the master again, as process %d",
	    (int)getpid());
	answer(m, false);
	ours.standin = -1;
	pfk__signals_restore();
	if (pfk__inherit_announce(&ours) == 0)
		execv("/proc/self/exe", pfk__program_argv());
	pfk_warn("cannot execute the old program");
	_exit(EX_OSERR);
}

void
pfk__standin_main(struct pfk__master *m, int fd,
    const struct pfk__inherited *old, pid_t master)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int timeout = GO_MS, n;
	char byte;

	pfk_log_set_process("stand-in");
	pfk__title_set("stand-in");
	while ((n = poll(&p, 1, timeout)) == 1 && read(fd, &byte, 1) == 1) {
		if (byte != PFK__STANDIN_GO) {
			answer(m, byte == PFK__STANDIN_DONE);
			_exit(EX_OK);
		}
		let_go(m, fd, old->history);
		timeout = -1;
	}
	if (n == 0) {
		pfk_log(PFK_ERROR, "the new program did not start within %d s",
		    GO_MS / 1000);
		kill(master, SIGKILL);
	}
	come_back(m, old);
}
