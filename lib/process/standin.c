/*
 * standin.c: the process that can be the old program's master again.
 *
 * Layer: process.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
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
/* A process closes its descriptors some moments before it has ended. */
#define END_MS 1000

struct standin {
	struct pfk__master *m;
	const struct pfk__inherited *old;
	int fd;     /* to the new master */
	int master; /* its pidfd, or -1 */
	bool let_go;
	bool back; /* the old program is executed again */
};

enum result { UPGRADED, BACK, LOST };

/* Those that wait for the upgrade. */
static void
answer(struct pfk__master *m, enum result r)
{
	struct pfk__client *c, *next;

	TAILQ_FOREACH_SAFE(c, &m->control->clients, link, next) {
		if (c->wish != PFK__WISH_UPGRADE)
			continue;
		c->io = NULL;
		if (r == UPGRADED)
			pfk__client_done(c, "upgraded");
		else
			pfk__client_fail(c, EX_UNAVAILABLE,
			    "the new program did not serve, and the old one %s; "
			    "the log has the cause",
			    r == BACK ? "is back" : "did not serve again");
	}
}

/* Close all other descriptors; *keep has room for those that are added. */
static void
keep_only(const struct pfk__master *m, const int *more, size_t n)
{
	const struct pfk__client *c;
	size_t max = n + 1;
	int *keep;

	TAILQ_FOREACH(c, &m->control->clients, link)
		max++;
	keep = calloc(max, sizeof(*keep));
	if (keep == NULL)
		_exit(EX_OSERR);
	for (size_t i = 0; i < n; i++)
		keep[i] = more[i];
	keep[n++] = pfk__log_fd();
	TAILQ_FOREACH(c, &m->control->clients, link) {
		if (c->wish == PFK__WISH_UPGRADE)
			keep[n++] = c->fd;
	}
	pfk__close_others(keep, n);
	free(keep);
}

/*
 * Send LET_GO, so that the workers look for the new master, and close the
 * descriptors here that would be in its way.
 */
static void
let_go(struct standin *s)
{
	const struct pfk__instance *i = &s->m->control->instance;
	struct pfk__message msg = {.type = PFK__MSG_LET_GO};
	int keep[5] = {s->fd, i->lock_fd, i->fd};
	size_t n = 3;

	if (s->let_go)
		return;
	s->let_go = true;
	if (s->old->history != -1)
		keep[n++] = s->old->history;
	if (s->master != -1)
		keep[n++] = s->master;
	pfk__children_tell(s->m, &msg, -1);
	pfk__control_forsake(s->m);
	keep_only(s->m, keep, n);
}

/* The clients get their answer when the old program is the master again. */
static void __attribute__((noreturn))
answer_later(struct pfk__master *m, int fd)
{
	char byte = PFK__STANDIN_LOST;

	keep_only(m, &fd, 1);
	if (read(fd, &byte, 1) != 1)
		byte = PFK__STANDIN_LOST;
	while (byte == PFK__STANDIN_GO && read(fd, &byte, 1) == 1)
		continue;
	answer(m, byte == PFK__STANDIN_DONE ? BACK : LOST);
	_exit(EX_OK);
}

/* The end to tell it by, or -1: nobody waits, or has to be answered now. */
static int
fork_answering(struct pfk__master *m)
{
	int sv[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == -1) {
		answer(m, BACK);
		return -1;
	}
	pid = fork();
	if (pid == 0)
		answer_later(m, sv[1]);
	close(sv[1]);
	if (pid == -1) {
		close(sv[0]);
		answer(m, BACK);
		return -1;
	}
	return sv[0];
}

static void __attribute__((noreturn)) come_back(struct standin *s)
{
	struct pfk__inherited ours = *s->old;

	pfk_log(PFK_ERROR,
	    "upgrade failed: the new program ended before it served; the old "
	    "one is the master again, as process %d",
	    (int)getpid());
	ours.standin = fork_answering(s->m);
	ours.standin_pid = 0;
	pfk__signals_restore();
	if (pfk__inherit_announce(&ours) == 0)
		execv("/proc/self/exe", pfk__program_argv());
	pfk_warn("cannot execute the old program");
	_exit(EX_OSERR);
}

/* An older program closes its end as it executes ours again. */
static bool
has_ended(const struct standin *s)
{
	struct pollfd p = {.fd = s->master, .events = POLLIN};

	return !s->back || (s->master != -1 && poll(&p, 1, END_MS) == 1);
}

static void
obey(struct standin *s, char byte)
{
	if (byte == PFK__STANDIN_GO) {
		let_go(s);
	} else if (byte == PFK__STANDIN_BACK) {
		s->back = true;
	} else {
		answer(s->m,
		    byte != PFK__STANDIN_DONE ? LOST
			: s->back             ? BACK
					      : UPGRADED);
		_exit(EX_OK);
	}
}

void
pfk__standin_main(struct pfk__master *m, int fd,
    const struct pfk__inherited *old, pid_t master)
{
	struct standin s = {.m = m,
	    .old = old,
	    .fd = fd,
	    .master = (int)syscall(SYS_pidfd_open, master, 0)};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int timeout = GO_MS, n;
	char byte;

	pfk_log_set_process("stand-in");
	pfk__title_set("stand-in");
	for (;;) {
		n = poll(&p, 1, timeout);
		if (n == -1 && errno == EINTR)
			continue;
		if (n != 1 || read(fd, &byte, 1) != 1)
			break;
		obey(&s, byte);
		timeout = byte == PFK__STANDIN_GO ? -1 : GO_MS;
	}
	if (n == 0) {
		pfk_log(PFK_ERROR,
		    "the %s program did not start within %d s; killing it, and "
		    "executing the old one again",
		    s.back ? "old" : "new", GO_MS / 1000);
		kill(master, SIGKILL);
	} else if (!has_ended(&s)) {
		answer(m, BACK);
		_exit(EX_OK);
	}
	come_back(&s);
}
