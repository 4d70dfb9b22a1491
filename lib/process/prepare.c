/*
 * prepare.c: the part of a reload that may take time, in a child.
 *
 * Layer: process.  Name servers and user data bases answer when they like, and a
 * master that waited for them would see no death and no signal meanwhile.  The child runs the
 * program's hook; the master collects the bytes that it writes, and then its
 * verdict, until the pipe ends or the time is up.
 */
#include "process/prepare.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/fds.h"
#include "base/log.h"
#include "base/parent.h"
#include "base/signals.h"
#include "base/title.h"
#include "base/why.h"
#include "process/master.h"

#define VERDICT_GOOD 0x600d
#define VERDICT_BAD 0xbad
#define ANSWER_MAX (16u << 20)

/* The last bytes in the pipe; the program's come before. */
struct verdict {
	int code;
	char why[PFK_ERROR_SIZE];
};

static struct {
	pid_t pid; /* 0: it has been reaped, or there is none */
	int fd;
	struct pfk_io *io;
	struct pfk__buffer answer;
} preparation;

/* the child */

static void __attribute__((noreturn))
be_preparer(const struct pfk__master *m, pid_t parent, int out)
{
	struct verdict v = {.code = VERDICT_GOOD};
	int keep[] = {out, pfk__log_fd()};

	pfk__end_with(parent);
	pfk__signals_forked();
	pfk__close_others(keep, 2);
	pfk__title_set("reload");
	if (m->hooks->prepare_reload(out, m->arg) == -1) {
		v.code = VERDICT_BAD;
		pfk__reload_refusal(v.why, sizeof(v.why));
	}
	if (write(out, &v, sizeof(v)) != (ssize_t)sizeof(v))
		_exit(1);
	close(out);
	_exit(0);
}

/* the master */

static void
end(void)
{
	assert(preparation.io != NULL);
	pfk_io_cancel(&preparation.io);
	close(preparation.fd);
	if (preparation.pid != 0)
		kill(preparation.pid, SIGKILL);
}

/* Take the verdict off the end; false: the child has died without one. */
static bool
take_verdict(struct verdict *v)
{
	struct pfk__buffer *b = &preparation.answer;

	if (b->len < sizeof(*v))
		return false;
	memcpy(v, b->base + b->offset + b->len - sizeof(*v), sizeof(*v));
	v->why[sizeof(v->why) - 1] = '\0';
	b->len -= sizeof(*v);
	return v->code == VERDICT_GOOD || v->code == VERDICT_BAD;
}

/* The pipe has ended. */
static void
finish(struct pfk__master *m)
{
	struct verdict v;

	end();
	if (!take_verdict(&v))
		pfk__reload_prepared(m,
		    "the process that looks its names up has died, as when "
		    "memory runs out");
	else
		pfk__reload_prepared(m, v.code == VERDICT_GOOD ? NULL : v.why);
	pfk__buffer_clear(&preparation.answer);
}

static void
on_answer(void *arg, unsigned ready)
{
	char bytes[16384];
	ssize_t n = read(preparation.fd, bytes, sizeof(bytes));

	(void)ready;
	if (n == -1 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0 && preparation.answer.len + (size_t)n <= ANSWER_MAX &&
	    pfk__buffer_append(&preparation.answer, bytes, (size_t)n) == 0)
		return;
	/* Too much, or no memory for it, is as good as no answer. */
	if (n != 0)
		pfk__buffer_clear(&preparation.answer);
	finish(arg);
}

static pid_t
fork_preparer(const struct pfk__master *m, const int fds[2])
{
	pid_t pid, parent = getpid();
	sigset_t all, old;

	/* The child's handlers are its own only once it has set them. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = fork();
	if (pid == 0) {
		sigprocmask(SIG_SETMASK, &old, NULL);
		be_preparer(m, parent, fds[1]);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	return pid;
}

int
pfk__prepare_start(struct pfk__master *m)
{
	int fds[2], saved_errno;

	assert(preparation.io == NULL && m->reload != PFK__RELOAD_PREPARING);
	if (pipe2(fds, O_CLOEXEC) == -1)
		return -1;
	preparation.fd = fds[0];
	preparation.io = pfk_io_add(m->loop, fds[0], PFK_READ, on_answer, m);
	if (preparation.io == NULL)
		goto err1;
	preparation.pid = fork_preparer(m, fds);
	if (preparation.pid == -1)
		goto err2;
	close(fds[1]);
	return 0;
err2:
	saved_errno = errno;
	pfk_io_cancel(&preparation.io);
	errno = saved_errno;
err1:
	saved_errno = errno;
	preparation.pid = 0;
	close(fds[0]);
	close(fds[1]);
	errno = saved_errno;
	return -1;
}

void
pfk__prepare_cancel(void)
{
	if (preparation.io == NULL)
		return;
	end();
	pfk__buffer_clear(&preparation.answer);
}

void
pfk__prepare_reaped(pid_t pid)
{
	if (preparation.pid == pid)
		preparation.pid = 0;
}

const void *
pfk_reload_prepared(size_t *size)
{
	*size = preparation.answer.len;
	return preparation.answer.base + preparation.answer.offset;
}
