/*
 * poller_epoll.c: epoll(7), level-triggered.
 *
 * Layer: event.
 */
#include "event/poller.h"

#include <errno.h>
#include <prefork.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define BATCH 256

struct epoll {
	int fd;
	struct epoll_event events[BATCH];
};

static void
epoll_close(void *arg)
{
	struct epoll *p = arg;

	close(p->fd);
	free(p);
}

/* A sandbox may deny one of the calls: then this back-end is of no use. */
static const char *
find_denied(struct epoll *p)
{
	/* An instance cannot watch itself. */
	if (epoll_ctl(p->fd, EPOLL_CTL_ADD, p->fd, p->events) == -1 &&
	    errno != EINVAL)
		return "epoll_ctl";
	if (epoll_wait(p->fd, p->events, 1, 0) == -1 && errno != EINTR)
		return "epoll_wait";
	return NULL;
}

static void *
epoll_open(int fd, const char **failed)
{
	struct epoll *p = calloc(1, sizeof(*p));

	*failed = "malloc";
	if (p == NULL)
		return NULL;
	*failed = "epoll_create1";
	p->fd = fd != -1 ? fd : epoll_create1(EPOLL_CLOEXEC);
	if (p->fd == -1) {
		free(p);
		return NULL;
	}
	*failed = find_denied(p);
	if (*failed != NULL) {
		int saved_errno = errno;

		epoll_close(p);
		errno = saved_errno;
		return NULL;
	}
	return p;
}

static int
epoll_fd(const void *arg)
{
	const struct epoll *p = arg;

	return p->fd;
}

static int
epoll_set(void *arg, int fd, uint32_t generation, unsigned was, unsigned want)
{
	struct epoll *p = arg;
	struct epoll_event ev = {.events = (want & PFK_READ ? EPOLLIN : 0u) |
		(want & PFK_WRITE ? EPOLLOUT : 0u) |
		(want & PFK__FOR_ONE ? EPOLLEXCLUSIVE : 0u),
	    .data.u64 = (uint64_t)generation << 32 | (uint32_t)fd};
	int op = EPOLL_CTL_MOD;

	/* Such a watch cannot be changed: epoll_ctl(2). */
	if (((was | want) & PFK__FOR_ONE) != 0) {
		if (epoll_ctl(p->fd, EPOLL_CTL_DEL, fd, &ev) == -1 &&
		    errno != ENOENT)
			return -1;
		was = 0;
	}
	if (want == 0)
		op = EPOLL_CTL_DEL;
	else if (was == 0)
		op = EPOLL_CTL_ADD;
	if (epoll_ctl(p->fd, op, fd, &ev) == 0)
		return 0;
	if (op == EPOLL_CTL_ADD && errno == EEXIST)
		return epoll_ctl(p->fd, EPOLL_CTL_MOD, fd, &ev);
	if (op == EPOLL_CTL_MOD && errno == ENOENT)
		return epoll_ctl(p->fd, EPOLL_CTL_ADD, fd, &ev);
	return op == EPOLL_CTL_DEL && errno == ENOENT ? 0 : -1;
}

static int
epoll_wait_ready(void *arg, struct pfk__ready *ready, int max, int timeout_ms)
{
	struct epoll *p = arg;
	int n = epoll_wait(p->fd, p->events, max < BATCH ? max : BATCH,
	    timeout_ms);

	for (int i = 0; i < n; i++) {
		uint32_t e = p->events[i].events;

		ready[i].fd = (int)(uint32_t)p->events[i].data.u64;
		ready[i].generation = (uint32_t)(p->events[i].data.u64 >> 32);
		ready[i].what = (e & EPOLLIN ? PFK_READ : 0u) |
		    (e & EPOLLOUT ? PFK_WRITE : 0u) |
		    (e & (EPOLLERR | EPOLLHUP) ? PFK_FAULT : 0u);
	}
	return n;
}

const struct pfk__poller pfk__poller_epoll = {
    .name = "epoll",
    .close_ends = true,
    .open = epoll_open,
    .close = epoll_close,
    .fd = epoll_fd,
    .set = epoll_set,
    .wait = epoll_wait_ready,
};
