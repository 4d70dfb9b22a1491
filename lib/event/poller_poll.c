/*
 * poller_poll.c: poll(2), for systems without epoll(7) and for the tests.
 *
 * Layer: event.  `place` finds a descriptor's entry; a removed entry's place
 * is taken by the last one.
 */
#include "event/poller.h"

#include <errno.h>
#include <poll.h>
#include <prefork.h>
#include <stdlib.h>

struct polls {
	struct pollfd *fds;
	uint32_t *generation;
	int len;
	int size;
	int *place; /* by descriptor: index in fds + 1, or 0 */
	int places;
	int next; /* where the next scan starts, for fairness */
};

static void *
poll_open(int fd, const char **failed)
{
	(void)fd;
	/* A sandbox may deny it. */
	*failed = "poll";
	if (poll(NULL, 0, 0) == -1 && errno != EINTR)
		return NULL;
	*failed = "malloc";
	return calloc(1, sizeof(struct polls));
}

static void
poll_close(void *arg)
{
	struct polls *p = arg;

	free(p->fds);
	free(p->generation);
	free(p->place);
	free(p);
}

static int
poll_fd(const void *arg)
{
	(void)arg;
	return -1;
}

static int
make_place(struct polls *p, int fd)
{
	int size = p->places > 0 ? p->places : 64;
	int *place;

	if (fd < p->places)
		return 0;
	while (size <= fd)
		size *= 2;
	place = reallocarray(p->place, (size_t)size, sizeof(*place));
	if (place == NULL)
		return -1;
	for (int i = p->places; i < size; i++)
		place[i] = 0;
	p->place = place;
	p->places = size;
	return 0;
}

static int
make_entry(struct polls *p)
{
	int size = p->size > 0 ? 2 * p->size : 64;
	void *fds, *generation;

	if (p->len < p->size)
		return 0;
	fds = reallocarray(p->fds, (size_t)size, sizeof(*p->fds));
	if (fds == NULL)
		return -1;
	p->fds = fds;
	generation = reallocarray(p->generation, (size_t)size,
	    sizeof(*p->generation));
	if (generation == NULL)
		return -1;
	p->generation = generation;
	p->size = size;
	return 0;
}

static void
drop(struct polls *p, int fd)
{
	int i = p->place[fd] - 1, last = --p->len;

	p->fds[i] = p->fds[last];
	p->generation[i] = p->generation[last];
	p->place[p->fds[i].fd] = i + 1;
	p->place[fd] = 0;
}

static int
poll_set(void *arg, int fd, uint32_t generation, unsigned was, unsigned want)
{
	struct polls *p = arg;
	int i;

	if (want == 0) {
		if (was != 0)
			drop(p, fd);
		return 0;
	}
	if (was == 0) {
		if (make_place(p, fd) == -1 || make_entry(p) == -1)
			return -1;
		p->place[fd] = ++p->len;
	}
	i = p->place[fd] - 1;
	p->fds[i].fd = fd;
	p->fds[i].events = (short)((want & PFK_READ ? POLLIN : 0) |
	    (want & PFK_WRITE ? POLLOUT : 0));
	p->fds[i].revents = 0;
	p->generation[i] = generation;
	return 0;
}

static int
poll_wait(void *arg, struct pfk__ready *ready, int max, int timeout_ms)
{
	struct polls *p = arg;
	int left = poll(p->fds, (nfds_t)p->len, timeout_ms), n = 0;

	if (left == -1)
		return -1;
	if (p->next >= p->len)
		p->next = 0;
	for (int seen = 0; seen < p->len && left > 0 && n < max; seen++) {
		int i = p->next;
		short e = p->fds[i].revents;

		p->next = i + 1 < p->len ? i + 1 : 0;
		if (e == 0)
			continue;
		left--;
		ready[n].fd = p->fds[i].fd;
		ready[n].generation = p->generation[i];
		ready[n++].what = (e & POLLIN ? PFK_READ : 0u) |
		    (e & POLLOUT ? PFK_WRITE : 0u) |
		    (e & (POLLERR | POLLHUP | POLLNVAL) ? PFK_FAULT : 0u);
	}
	return n;
}

const struct pfk__poller pfk__poller_poll = {
    .name = "poll",
    .open = poll_open,
    .close = poll_close,
    .fd = poll_fd,
    .set = poll_set,
    .wait = poll_wait,
};
