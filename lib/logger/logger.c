/*
 * logger.c: the master's side: start the log process, again if it dies, and
 * give it the pipes of the writers.
 *
 * Layer: logger.
 */
#include "logger/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "logger/inside.h"
#include "logger/wire.h"

/* Lines of a burst wait here; the kernel takes memory only for those. */
#define PIPE_BYTES (256 * 1024)
#define RETRY_NS (100 * PFK_MSEC_NS)
#define DELAY_MAX_NS (10 * PFK_SECOND_NS)
#define FLUSH_WAIT_MS 1000
/* Beyond those of the sources: the log process's pid on its way here. */
#define PID_PAGE PFK__LOGGER_SOURCES

static void on_control(void *arg, unsigned ready);
static void on_retry(void *arg);

struct pfk__relay_page *
pfk__logger_page(const struct pfk__logger *lg, int index)
{
	return (struct pfk__relay_page *)(void *)(lg->pages +
	    (size_t)index * lg->page_bytes);
}

static size_t
pages_size(const struct pfk__logger *lg)
{
	return (PID_PAGE + 1) * lg->page_bytes;
}

/* sources */

static int
open_source(struct pfk__logger *lg, int index)
{
	struct pfk__source *src = &lg->sources[index];
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) == -1)
		return -1;
	/* Beyond the user's share of pipe memory the default has to do. */
	fcntl(fds[0], F_SETPIPE_SZ, PIPE_BYTES);
	*src = (struct pfk__source){.in_use = true,
	    .fd = fds[0],
	    .writer = fds[1]};
	*pfk__logger_page(lg, index) = (struct pfk__relay_page){0};
	if (index >= lg->used)
		lg->used = index + 1;
	return 0;
}

static void
close_writer(struct pfk__source *src)
{
	if (src->writer != -1)
		close(src->writer);
	src->writer = -1;
}

static void
free_source(struct pfk__logger *lg, int index)
{
	struct pfk__source *src = &lg->sources[index];

	if (!src->in_use)
		return;
	close_writer(src);
	close(src->fd);
	src->in_use = false;
	while (lg->used > 0 && !lg->sources[lg->used - 1].in_use)
		lg->used--;
}

int
pfk__logger_prepare(struct pfk__logger *lg)
{
	for (int i = 0; i < PFK__LOGGER_SOURCES; i++) {
		if (!lg->sources[i].in_use)
			return open_source(lg, i) == 0 ? i : -1;
	}
	errno = EAGAIN;
	return -1;
}

void
pfk__logger_cancel(struct pfk__logger *lg, int index)
{
	int saved = errno;

	free_source(lg, index);
	errno = saved;
}

static int
announce(struct pfk__logger *lg, int index)
{
	struct pfk__source *src = &lg->sources[index];
	struct pfk__wire w = {.type = PFK__WIRE_SOURCE,
	    .index = index,
	    .pid = src->pid};

	strlcpy(w.name, src->name, sizeof(w.name));
	if (lg->control == -1 || pfk__wire_send(lg->control, &w, src->fd) == -1)
		return -1;
	src->announced = true;
	return 0;
}

static void
retry_soon(struct pfk__logger *lg, uint64_t delay_ns)
{
	/* Without memory, the next child or reopen does it. */
	if (lg->retry == NULL)
		pfk_timer_set(&lg->retry, lg->loop, delay_ns, on_retry, lg);
}

void
pfk__logger_announce(struct pfk__logger *lg, int index, const char *name,
    pid_t pid)
{
	struct pfk__source *src = &lg->sources[index];

	close_writer(src);
	src->pid = pid;
	strlcpy(src->name, name, sizeof(src->name));
	if (announce(lg, index) == -1)
		retry_soon(lg, RETRY_NS);
}

int
pfk__logger_writer(const struct pfk__logger *lg, int index)
{
	return lg->sources[index].writer;
}

void
pfk__logger_move(struct pfk__logger *lg, int index, int fd)
{
	lg->sources[index].writer = fd;
}

void
pfk__logger_join(struct pfk__logger *lg, int index)
{
	int writer = lg->sources[index].writer, fd = pfk__log_fd();
	char *own = lg->pages + (size_t)index * lg->page_bytes;
	char *end = lg->pages + pages_size(lg);

	/* The number of the master's pipe, for the life of the service. */
	dup3(writer, fd, O_CLOEXEC);
	dup2(writer, STDERR_FILENO);
	if (own > lg->pages)
		munmap(lg->pages, (size_t)(own - lg->pages));
	own += lg->page_bytes;
	if (own < end)
		munmap(own, (size_t)(end - own));
	pfk__log_relay(fd, pfk__logger_page(lg, index), true);
}

/* the log process */

/*
 * A grandchild, because the master's children are the service's, and in a
 * session of its own, because no terminal can stop that by signals.
 */
static void __attribute__((noreturn))
fork_again(struct pfk__logger *lg, int control)
{
	pid_t pid;

	setsid();
	pid = fork();
	if (pid == 0) {
		lg->control = control;
		pfk__scribe_run(lg);
	}
	pfk__logger_page(lg, PID_PAGE)->pid = (int32_t)pid;
	_exit(pid == -1 ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* As long as the master is a subreaper, a grandchild becomes its child. */
static int
fork_twice(struct pfk__logger *lg, int control)
{
	sigset_t all, old;
	int status = 0, reaper = 0;
	pid_t pid;

	prctl(PR_GET_CHILD_SUBREAPER, &reaper, 0, 0, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = fork();
	if (pid == 0)
		fork_again(lg, control);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid != -1) {
		while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
			continue;
		errno = EAGAIN;
	}
	prctl(PR_SET_CHILD_SUBREAPER, reaper, 0, 0, 0);
	if (pid == -1 || status != 0)
		return -1;
	lg->pid = (pid_t)pfk__logger_page(lg, PID_PAGE)->pid;
	return 0;
}

static int
start(struct pfk__logger *lg, const char **step)
{
	int fds[2];

	*step = "socketpair";
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == -1)
		return -1;
	*step = "epoll_ctl";
	lg->io = pfk_io_add(lg->loop, fds[0], PFK_READ, on_control, lg);
	if (lg->io == NULL)
		goto fail;
	*step = "fork";
	if (fork_twice(lg, fds[1]) == -1)
		goto fail;
	close(fds[1]);
	lg->control = fds[0];
	lg->started_ns = pfk_loop_now(lg->loop);
	for (int i = 0; i < lg->used; i++)
		lg->sources[i].announced = lg->sources[i].writer == -1;
	lg->sources[0].announced = true;
	lg->reopen_wanted = false;
	pfk_log(PFK_DEBUG, "started log process (%d)", (int)lg->pid);
	return 0;
fail:
	pfk_io_cancel(&lg->io);
	close(fds[0]);
	close(fds[1]);
	return -1;
}

static uint64_t
longer(uint64_t delay_ns)
{
	if (delay_ns == 0)
		return RETRY_NS;
	return delay_ns * 2 < DELAY_MAX_NS ? delay_ns * 2 : DELAY_MAX_NS;
}

/* -1: the socket is full, try again later. */
static int
give_file(struct pfk__logger *lg)
{
	struct pfk__wire w = {.type = PFK__WIRE_REOPEN};

	if (lg->reopen_wanted &&
	    pfk__wire_send(lg->control, &w, pfk__log_sink()->fd) == -1)
		return -1;
	lg->reopen_wanted = false;
	return 0;
}

/* Start the missing log process, or send it the news that it does not have. */
static void
maintain(struct pfk__logger *lg)
{
	const char *step;

	if (lg->control == -1 && start(lg, &step) == -1) {
		pfk_warn("cannot start a new log process; trying again: %s(2)",
		    step);
		lg->delay_ns = longer(lg->delay_ns);
		retry_soon(lg, lg->delay_ns);
		return;
	}
	if (give_file(lg) == -1)
		retry_soon(lg, RETRY_NS);
	for (int i = 0; i < lg->used; i++) {
		struct pfk__source *src = &lg->sources[i];

		if (!src->in_use || src->announced || src->writer != -1)
			continue;
		if (announce(lg, i) == -1) {
			retry_soon(lg, RETRY_NS);
			return;
		}
	}
}

static void
on_retry(void *arg)
{
	maintain(arg);
}

/* At once the first time, then after longer and longer delays. */
static void
died(struct pfk__logger *lg)
{
	uint64_t lived = pfk_loop_now(lg->loop) - lg->started_ns;

	pfk_io_cancel(&lg->io);
	close(lg->control);
	lg->control = -1;
	if (lived > DELAY_MAX_NS)
		lg->delay_ns = 0;
	pfk_log(PFK_WARNING,
	    "log process (%d) has died, lines that it had read may be missing; "
	    "starting another",
	    (int)lg->pid);
	if (lg->delay_ns == 0)
		maintain(lg);
	else
		retry_soon(lg, lg->delay_ns);
	lg->delay_ns = longer(lg->delay_ns);
}

static void
hear(struct pfk__logger *lg, const struct pfk__wire *w)
{
	switch (w->type) {
	case PFK__WIRE_ENDED:
		free_source(lg, w->index);
		break;
	case PFK__WIRE_TROUBLE:
		pfk_complain("cannot write the log: %s; lines are kept while "
			     "there is room for them, then dropped",
		    strerror(w->error));
		break;
	default:
		break;
	}
}

static void
on_control(void *arg, unsigned ready)
{
	struct pfk__logger *lg = arg;
	struct pfk__wire w;
	int fd, rc;

	(void)ready;
	while ((rc = pfk__wire_receive(lg->control, &w, &fd)) == 1)
		hear(lg, &w);
	if (rc == 0 || errno != EAGAIN)
		died(lg);
}

struct pfk__logger *
pfk__logger_start(struct pfk_loop *l, const char **step)
{
	struct pfk__logger *lg = calloc(1, sizeof(*lg));

	*step = "mmap";
	if (lg == NULL)
		return NULL;
	lg->loop = l;
	lg->control = -1;
	lg->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	lg->pages = mmap(NULL, pages_size(lg), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (lg->pages == MAP_FAILED)
		goto err1;
	*step = "pipe2";
	if (open_source(lg, 0) == -1)
		goto err2;
	lg->sources[0].pid = getpid();
	strlcpy(lg->sources[0].name, pfk__log_process(),
	    sizeof(lg->sources[0].name));
	signal(SIGPIPE, SIG_IGN);
	pfk__log_relay(lg->sources[0].writer, pfk__logger_page(lg, 0), false);
	if (start(lg, step) == -1)
		goto err3;
	return lg;
err3:
	pfk__log_relay(-1, NULL, false);
	free_source(lg, 0);
err2:
	munmap(lg->pages, pages_size(lg));
err1:
	free(lg);
	return NULL;
}

void
pfk__logger_reopened(struct pfk__logger *lg)
{
	lg->reopen_wanted = pfk__log_is_file();
	maintain(lg);
}

/* Wait for the answer to a flush, and drop all other messages. */
static int
await_flushed(struct pfk__logger *lg)
{
	struct pollfd p = {.fd = lg->control, .events = POLLIN};
	struct pfk__wire w = {.type = PFK__WIRE_FLUSH};
	int fd, rc;

	if (pfk__wire_send(lg->control, &w, -1) == -1)
		return errno;
	while ((rc = poll(&p, 1, FLUSH_WAIT_MS)) == 1 ||
	    (rc == -1 && errno == EINTR)) {
		while ((rc = pfk__wire_receive(lg->control, &w, &fd)) == 1) {
			if (w.type == PFK__WIRE_FLUSHED)
				return w.error;
		}
		if (rc == 0)
			return EPIPE;
	}
	return rc == 0 ? ETIMEDOUT : errno;
}

void
pfk__logger_stop(struct pfk__logger **lgp)
{
	struct pfk__logger *lg = *lgp;
	const char *step;
	int error = ETIMEDOUT;

	*lgp = NULL;
	if (lg == NULL)
		return;
	/* It may have died in the last turn: its successor finishes. */
	for (int tries = 2; tries > 0 && error != 0; tries--) {
		if (lg->control == -1 && start(lg, &step) == -1)
			break;
		error = await_flushed(lg);
		if (error != EPIPE)
			break;
		pfk_io_cancel(&lg->io);
		close(lg->control);
		lg->control = -1;
	}
	pfk__log_relay(-1, NULL, false);
	pfk_timer_cancel(&lg->retry);
	pfk_io_cancel(&lg->io);
	if (lg->control != -1)
		close(lg->control);
	for (int i = lg->used - 1; i >= 0; i--)
		free_source(lg, i);
	munmap(lg->pages, pages_size(lg));
	free(lg);
	if (error != 0)
		pfk_complain("the last lines are not in the log: %s",
		    error == ETIMEDOUT ? "its reader is too slow"
				       : strerror(error));
}
