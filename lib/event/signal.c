/*
 * signal.c: signals as loop events.
 *
 * Layer: event.  The handler marks the signal and writes one byte.  Only the
 * mark counts, so that a full pipe loses no signal.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fds.h"
#include "base/misuse.h"
#include "event/loop.h"

struct pfk_signal {
	LIST_ENTRY(pfk_signal) link;
	struct pfk_loop *loop;
	int signo;
	void (*cb)(void *arg, int signo);
	void *arg;
	struct sigaction old;
};

static LIST_HEAD(, pfk_signal) registered = LIST_HEAD_INITIALIZER(registered);
static struct pfk_loop *owner;
static volatile sig_atomic_t marked[NSIG];
static volatile sig_atomic_t wake_fd = -1;

static void
handle(int signo)
{
	int saved_errno = errno;

	marked[signo] = 1;
	if (write(wake_fd, "", 1) == -1)
		errno = saved_errno;
	errno = saved_errno;
}

static void
deliver(struct pfk_loop *l, int signo)
{
	struct pfk_signal *s, *next;
	bool begun;

	marked[signo] = 0;
	LIST_FOREACH_SAFE(s, &registered, link, next) {
		if (s->signo == signo) {
			begun = pfk__once_begin(l);
			s->cb(s->arg, signo);
			if (begun)
				pfk__once_end(l);
			return; /* the callback may have deleted any */
		}
	}
}

static void
on_wake(void *arg, unsigned ready)
{
	struct pfk_loop *l = arg;
	char drop[64];

	(void)ready;
	while (read(l->wake.fd, drop, sizeof(drop)) == (ssize_t)sizeof(drop))
		continue;
	for (int signo = 1; signo < NSIG; signo++) {
		if (marked[signo])
			deliver(l, signo);
	}
}

static int
open_pipe(struct pfk_loop *l)
{
	int fds[2];

	if (owner == l)
		return 0;
	if (owner != NULL)
		return pfk__misuse(EBUSY,
		    "pfk_signal_add: another loop of this process has signals");
	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) == -1) {
		if (pfk__is_denied(errno))
			pfk_warn("cannot receive signals: a sandbox denies "
				 "pipe2(2)");
		return -1;
	}
	if (pfk__io_start(l, &l->wake, fds[0], PFK_READ, on_wake, l) == -1) {
		close(fds[0]);
		close(fds[1]);
		return -1;
	}
	l->ios--; /* the pipe alone is nothing to wait for */
	wake_fd = fds[1];
	owner = l;
	return 0;
}

static void
close_pipe(void)
{
	struct pfk_loop *l = owner;

	assert(l != NULL && wake_fd != -1);
	l->ios++;
	pfk__io_stop(&l->wake);
	close(wake_fd);
	close(l->wake.fd);
	wake_fd = -1;
	owner = NULL;
}

struct pfk_signal *
pfk_signal_add(struct pfk_loop *l, int signo, void (*cb)(void *arg, int signo),
    void *arg)
{
	struct sigaction sa = {.sa_handler = handle, .sa_flags = SA_RESTART};
	struct pfk_signal *s;

	if (pfk__need_callback("pfk_signal_add", cb != NULL) == -1)
		return NULL;
	LIST_FOREACH(s, &registered, link) {
		if (s->signo == signo) {
			pfk__misuse(EBUSY,
			    "pfk_signal_add: signal %d is taken; a worker's "
			    "TERM, QUIT and INT are the library's",
			    signo);
			return NULL;
		}
	}
	if (open_pipe(l) == -1)
		return NULL;
	s = malloc(sizeof(*s));
	if (s == NULL) {
		if (LIST_EMPTY(&registered))
			close_pipe();
		return NULL;
	}
	*s = (struct pfk_signal){.loop = l,
	    .signo = signo,
	    .cb = cb,
	    .arg = arg};
	sigfillset(&sa.sa_mask);
	if (sigaction(signo, &sa, &s->old) == -1) {
		if (errno == EINVAL)
			pfk__misuse(EINVAL,
			    "pfk_signal_add: signal %d cannot be caught",
			    signo);
		free(s);
		if (LIST_EMPTY(&registered))
			close_pipe();
		return NULL;
	}
	LIST_INSERT_HEAD(&registered, s, link);
	l->signals++;
	return s;
}

void
pfk_signal_cancel(struct pfk_signal **s)
{
	if (*s == NULL)
		return;
	/* The analyzer does not see it leave the list. NOLINTNEXTLINE */
	sigaction((*s)->signo, &(*s)->old, NULL);
	marked[(*s)->signo] = 0;
	assert((*s)->loop->signals > 0);
	(*s)->loop->signals--;
	LIST_REMOVE(*s, link);
	free(*s);
	*s = NULL;
}

void
pfk__signals_release(struct pfk_loop *l)
{
	struct pfk_signal *s;

	if (owner != l)
		return;
	while ((s = LIST_FIRST(&registered)) != NULL)
		pfk_signal_cancel(&s);
	close(wake_fd);
	close(l->wake.fd);
	wake_fd = -1;
	owner = NULL;
}
