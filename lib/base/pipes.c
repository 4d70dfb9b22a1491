/*
 * pipes.c: a small pool of pipes for splice(2).
 *
 * Layer: base.
 */
#include "base/pipes.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

/*
 * A page of the network's fills one page's place, however little is in it:
 * this is room for 64 of them, and often for far more than its bytes.
 */
#define SIZE_WANTED (256 << 10)
/*
 * A user with many pipes gets pipes of a page or two, which are too small here.
 */
#define SIZE_MIN (64 << 10)
/* After a failure the next one may come to nothing as well: count them out. */
#define REFUSE_AFTER_FAILURE 256

/* splice(2) knows no MSG_NOSIGNAL. */
static void
ignore_sigpipe(void)
{
	struct sigaction now;

	if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
}

static int
open_pipe(struct pfk__pipe *pipe)
{
	int fds[2], size;

	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) == -1)
		return -1;
	size = fcntl(fds[1], F_SETPIPE_SZ, SIZE_WANTED);
	if (size == -1)
		size = fcntl(fds[1], F_GETPIPE_SZ);
	if (size < SIZE_MIN) {
		close(fds[0]);
		close(fds[1]);
		return -1;
	}
	ignore_sigpipe();
	*pipe = (struct pfk__pipe){.out = fds[0], .in = fds[1]};
	return 0;
}

int
pfk__pipes_take(struct pfk__pipes *p, struct pfk__pipe *pipe)
{
	if (p->idle_len > 0) {
		*pipe = p->idle[--p->idle_len];
		return 0;
	}
	if (p->count == PFK__PIPES_MAX)
		return -1;
	if (p->failures > 0) {
		p->failures--;
		return -1;
	}
	if (open_pipe(pipe) == -1) {
		p->failures = REFUSE_AFTER_FAILURE;
		return -1;
	}
	p->count++;
	assert(p->count <= PFK__PIPES_MAX);
	return 0;
}

int
pfk__pipes_adopt(struct pfk__pipes *p)
{
	if (p->count == PFK__PIPES_MAX)
		return -1;
	ignore_sigpipe();
	p->count++;
	return 0;
}

void
pfk__pipes_give(struct pfk__pipes *p, struct pfk__pipe pipe)
{
	assert(p->idle_len < p->count && pipe.out >= 0 && pipe.in >= 0);
	p->idle[p->idle_len++] = pipe;
}

void
pfk__pipes_drop(struct pfk__pipes *p, struct pfk__pipe pipe)
{
	assert(p->count > 0);
	close(pipe.out);
	close(pipe.in);
	p->count--;
}

void
pfk__pipes_refuse(struct pfk__pipes *p)
{
	pfk__pipes_free(p);
	p->failures = REFUSE_AFTER_FAILURE;
}

void
pfk__pipes_free(struct pfk__pipes *p)
{
	while (p->idle_len > 0)
		pfk__pipes_drop(p, p->idle[--p->idle_len]);
}
