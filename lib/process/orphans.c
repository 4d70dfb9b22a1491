/*
 * orphans.c: find the workers of a master that has died.
 *
 * Layer: process.  They knock at the service's control socket each 50 ms, so this
 * listens there for a moment, under the service's lock, and takes none of them.
 * The socket's file stays: by it the next master knows that there may be orphans.
 */
#include <poll.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "event/loop.h"
#include "process/instance.h"
#include "process/takeover.h"

/* Far longer than between two knocks; others may connect and say nothing. */
#define PATIENCE_NS (400 * PFK_MSEC_NS)
/* Two knocks of those that leave, after the last of the others. */
#define LAST_NS (100 * PFK_MSEC_NS)

struct hall {
	struct pfk_orphan *list;
	int max, n;
	int serving; /* of them */
	int workers; /* of the service, as these say; 0: none has come */
	uint64_t deadline_ns;
};

/* Wait until fd is readable; false: the time is over. */
static bool
await(const struct hall *h, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t now = pfk__clock_now();

	return now < h->deadline_ns &&
	    poll(&p, 1, (int)((h->deadline_ns - now) / PFK_MSEC_NS)) == 1;
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

/* Read a knock; the channel that comes with it is closed. */
static void
receive(struct hall *h, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	struct pfk__knock k;

	if (!await(h, fd) ||
	    recv(fd, &k, sizeof(k), MSG_DONTWAIT) != (ssize_t)sizeof(k) ||
	    pfk__knock_slot(&k) >= PFK_WORKERS_MAX ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == -1 ||
	    is_listed(h, peer.pid) || h->n == h->max)
		return;
	h->list[h->n++] = (struct pfk_orphan){.slot = pfk__knock_slot(&k),
	    .pid = peer.pid};
	if (k.slot < 0)
		return;
	h->workers = k.workers;
	h->serving++;
	/* Others that leave have knocked by then. */
	if (h->serving == h->workers)
		h->deadline_ns = pfk__clock_now() + LAST_NS;
}

/* Until each slot's orphan has come, or the time is over. */
static void
wait_for_knocks(struct hall *h, int listener)
{
	h->deadline_ns = pfk__clock_now() + PATIENCE_NS;
	while (await(h, listener)) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd == -1)
			return;
		receive(h, fd);
		close(fd);
	}
}

int
pfk_orphans(const char *control, struct pfk_orphan *list, int max, char *err)
{
	const struct pfk_master_config config = {.control = control};
	struct hall h = {.list = list, .max = max};
	struct pfk__instance i;
	int status;

	status = pfk__instance_open(&i, &config, err);
	if (status != EX_OK)
		return -1;
	if (i.fd != -1) {
		wait_for_knocks(&h, i.fd);
		close(i.fd);
	}
	if (i.lock_fd != -1)
		close(i.lock_fd);
	return h.n;
}
