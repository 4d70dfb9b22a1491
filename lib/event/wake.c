/*
 * wake.c: wake a loop from another thread or a signal handler.
 *
 * Layer: event.  eventfd(2): its counter keeps one call until the loop has
 * seen it, and write(2) is safe in a handler.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/misuse.h"
#include "event/loop.h"

struct pfk_wake {
	struct pfk_io io;
	void (*cb)(void *arg);
	void *arg;
};

static void
on_wake(void *arg, unsigned ready)
{
	const struct pfk_wake *w = arg;
	uint64_t n;

	(void)ready;
	if (read(w->io.fd, &n, sizeof(n)) == (ssize_t)sizeof(n))
		pfk__once(w->io.loop, w->cb, w->arg);
}

struct pfk_wake *
pfk_wake_new(struct pfk_loop *l, void (*cb)(void *arg), void *arg)
{
	struct pfk_wake *w;
	int fd, saved_errno;

	if (pfk__need_callback("pfk_wake_new", cb != NULL) == -1)
		return NULL;
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return NULL;
	w->cb = cb;
	w->arg = arg;
	fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd != -1 && pfk__io_start(l, &w->io, fd, PFK_READ, on_wake, w) == 0)
		return w;
	saved_errno = errno;
	if (fd != -1)
		close(fd);
	free(w);
	errno = saved_errno;
	return NULL;
}

void
pfk_wake(const struct pfk_wake *w)
{
	static const uint64_t one = 1;
	int saved_errno = errno;

	/* A full counter wakes it all the same. */
	if (write(w->io.fd, &one, sizeof(one)) == -1)
		errno = saved_errno;
	errno = saved_errno;
}

void
pfk_wake_cancel(struct pfk_wake **wp)
{
	struct pfk_wake *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	pfk__io_stop(&w->io);
	close(w->io.fd);
	free(w);
}
