/*
 * orphans.c: find the workers of a master that has died.
 *
 * Layer: process.  They knock at the service's control socket each 50 ms, so this
 * listens there for a moment, under the service's lock, and takes none of them.
 * The socket's file stays: by it the next master knows that there may be orphans.
 */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fds.h"
#include "base/received.h"
#include "event/loop.h"
#include "process/instance.h"
#include "process/takeover.h"

/* Far longer than between two knocks; others may connect and say nothing. */
#define PATIENCE_NS (400 * PFK_MSEC_NS)
/* Two knocks of those that leave, after the last of the others. */
#define LAST_NS (100 * PFK_MSEC_NS)

/* Those that have connected and not said anything yet; the oldest gives way. */
#define GUESTS_MAX 64

struct hall {
	struct pfk_orphan *list;
	int max, n;
	int serving; /* of them */
	int workers; /* of the service, as these say; 0: none has come */
	uint64_t deadline_ns;
	struct pollfd polled[1 + GUESTS_MAX]; /* the listener, and the guests */
	nfds_t n_polled;
};

/* Wait for a knock or a guest; false: the time is over. */
static bool
await(struct hall *h)
{
	uint64_t now = pfk__clock_now();

	return now < h->deadline_ns &&
	    poll(h->polled, h->n_polled,
		(int)((h->deadline_ns - now) / PFK_MSEC_NS)) > 0;
}

static bool
is_listed(const struct hall *h, pid_t pid)
{
	for (int i = 0; i < h->n; i++) {
		if (h->list[i].pid == pid)
			return true;
	}
	return false;
}

/*
 * Anybody may knock, and is listed.  A knock of root or of the own user may end the
 * wait before its time, but none of a stranger.
 */
static void
list(struct hall *h, const struct pfk__knock *k, const struct ucred *peer)
{
	if (is_listed(h, peer->pid) || h->n == h->max)
		return;
	h->list[h->n++] = (struct pfk_orphan){.slot = pfk__knock_slot(k),
	    .pid = peer->pid};
	if (k->slot < 0 || (peer->uid != 0 && peer->uid != geteuid()))
		return;
	h->workers = k->workers;
	h->serving++;
	/* Others that leave have knocked by then. */
	if (h->serving == h->workers)
		h->deadline_ns = pfk__clock_now() + LAST_NS;
}

/* An order of prefork-ctl begins with the protocol's version. */
static void
refuse_order(int fd)
{
	static const char text[] = "ERR 75 the master has died, and another "
				   "process looks for its workers; try again\n";

	send(fd, text, sizeof(text) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Read a knock; all descriptors that come along are closed. */
static void
receive(struct hall *h, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	struct pfk__knock k;
	struct pfk__parcel p;
	ssize_t n = pfk__receive(fd, &k, sizeof(k), &p);
	char first = n > 0 ? *(const char *)&k : '\0';

	pfk__parcel_close(&p);
	if (first >= '0' && first <= '9')
		refuse_order(fd);
	else if (n == (ssize_t)sizeof(k) &&
	    pfk__knock_slot(&k) < PFK_WORKERS_MAX &&
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		list(h, &k, &peer);
}

static void
see_off(struct hall *h, nfds_t i)
{
	pfk__close_emptied(h->polled[i].fd);
	h->n_polled--;
	memmove(&h->polled[i], &h->polled[i + 1],
	    (h->n_polled - i) * sizeof(h->polled[i]));
}

static void
welcome(struct hall *h)
{
	int fd = pfk__accept(h->polled[0].fd, NULL, NULL,
	    SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd == -1)
		return;
	if (h->n_polled == 1 + GUESTS_MAX)
		see_off(h, 1);
	h->polled[h->n_polled++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

/* Until each slot's orphan has come, or the time is over. */
static void
wait_for_knocks(struct hall *h, int listener)
{
	h->deadline_ns = pfk__clock_now() + PATIENCE_NS;
	h->polled[0] = (struct pollfd){.fd = listener, .events = POLLIN};
	h->n_polled = 1;
	while (await(h)) {
		for (nfds_t i = h->n_polled - 1; i > 0; i--) {
			if (h->polled[i].revents == 0)
				continue;
			receive(h, h->polled[i].fd);
			see_off(h, i);
		}
		if (h->polled[0].revents != 0)
			welcome(h);
	}
	while (h->n_polled > 1) {
		receive(h, h->polled[h->n_polled - 1].fd);
		see_off(h, h->n_polled - 1);
	}
}

int
pfk_orphans(const char *control, struct pfk_orphan *list, int max, char *err)
{
	struct hall h = {.list = list, .max = max};
	struct pfk__instance i;
	int status;

	status = pfk__instance_look(&i, control, err);
	if (status != EX_OK)
		return -1;
	if (i.fd != -1) {
		wait_for_knocks(&h, i.fd);
		pfk__close_emptied(i.fd);
	}
	if (i.lock_fd != -1)
		close(i.lock_fd);
	return h.n;
}
