/*
 * orphan.c: a worker looks for the next master when its master has died.
 *
 * Layer: process.  unix(7).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fds.h"
#include "base/title.h"
#include "event/loop.h"
#include "process/control.h"
#include "process/takeover.h"
#include "process/worker.h"

#define KNOCK_NS (50 * PFK_MSEC_NS)
/* For memory. */
#define TRIES 20

static void knock_later(struct pfk_worker *w);

static int
connect_control(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int saved_errno;

	if (fd == -1)
		return -1;
	strlcpy(sun.sun_path, path, sizeof(sun.sun_path));
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	saved_errno = errno;
	close(fd);
	errno = saved_errno;
	return -1;
}

static int
send_knock(const struct pfk_worker *w, int to, int channel)
{
	struct pfk__knock k = {.first = PFK__CONTROL_BINARY,
	    .version = PFK__KNOCK_VERSION,
	    .message_bytes = sizeof(struct pfk__message),
	    .slot = w->leaving ? -1 - w->slot : w->slot,
	    .workers = w->config->workers,
	    .keeper = getppid() == w->keeper ? w->keeper : 0,
	    .generation = w->generation};
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {&k, sizeof(k)};
	struct msghdr h = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.buf,
	    .msg_controllen = sizeof(control.buf)};
	struct cmsghdr *cm = CMSG_FIRSTHDR(&h);

	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cm), &channel, sizeof(int));
	pfk__point(w->ledger);
	if (sendmsg(to, &h, MSG_NOSIGNAL) != (ssize_t)sizeof(k))
		return -1;
	pfk__point(w->ledger);
	return 0;
}

static int
send_ready(struct pfk_worker *w)
{
	struct pfk__message m = {.type = PFK__MSG_READY,
	    .slot = w->slot,
	    .generation = w->generation,
	    .kind = PFK_TCP};

	w->ledger->head->lending = 2;
	pfk__point(w->ledger);
	if (pfk__channel_send(w->channel, &m, -1) == -1)
		return -1;
	pfk__point(w->ledger);
	w->ledger->head->lending = 0;
	pfk__point(w->ledger);
	return 0;
}

/* Send LEND for each listener, as a booting worker does. */
static int
lend_all(struct pfk_worker *w)
{
	const struct pfk__ledger *g = w->ledger;
	struct pfk__message m = {.slot = w->slot, .generation = w->generation};

	if (w->leaving) {
		g->head->lending = 0;
		return 0;
	}
	for (int fd = 0; fd < g->size && fd <= g->head->top; fd++) {
		const struct pfk__record *r = &g->records[fd];

		if ((r->entry != PFK__ENTRY_LISTENER &&
			r->entry != PFK__ENTRY_DATAGRAM) ||
		    r->owner != -1)
			continue;
		m.type = PFK__MSG_LEND;
		m.kind = r->listener.kind;
		m.asked = r->listener.asked;
		m.bound = r->listener.bound;
		m.ns = r->listener.opened_ns;
		pfk__point(g);
		if (pfk__channel_send(w->channel, &m, fd) == -1)
			return -1;
	}
	return send_ready(w);
}

/* Siblings' listeners: the new master orders anew. */
static void
release_adopted(struct pfk_worker *w)
{
	const struct pfk__ledger *g = w->ledger;

	for (int fd = 0; fd < g->size && fd <= g->head->top; fd++) {
		const struct pfk__record *r = &g->records[fd];

		if ((r->entry == PFK__ENTRY_LISTENER ||
			r->entry == PFK__ENTRY_DATAGRAM) &&
		    r->owner >= 0)
			pfk__worker_release(w, r->owner);
	}
}

/* The new channel gets the old one's number, which the keeper knows. */
static int
take_channel(struct pfk_worker *w, int fd)
{
	pfk_io_cancel(&w->io);
	w->ledger->head->lending = 1;
	if (dup3(fd, w->channel, O_CLOEXEC) == -1)
		return -1;
	pfk__point(w->ledger);
	return pfk__worker_watch(w);
}

/*
 * False: it was not let in, and tries again later, unless a sandbox denies the
 * calls.  Then no master will ever find it, or get its addresses.
 */
static bool
knock(struct pfk_worker *w)
{
	int to = connect_control(w->control_path), fds[2];
	bool good = false;

	if (to == -1 && pfk__is_denied(errno)) {
		pfk_warn("cannot look for a new master; draining, then ending: "
			 "connect(2)");
		pfk__worker_drain(w, PFK_DRAIN_STOP, w->config->shutdown_ns);
		return true;
	}
	if (to == -1)
		return false;
	if (pfk__channel_pair(fds) == 0) {
		good = send_knock(w, to, fds[1]) == 0;
		/* A successor that found it here would end the channel. */
		close(fds[1]);
		if (good &&
		    (take_channel(w, fds[0]) == -1 || lend_all(w) == -1)) {
			/* The master must not wait for the rest. */
			shutdown(fds[0], SHUT_RDWR);
			good = false;
		}
		close(fds[0]);
	}
	close(to);
	return good;
}

/* One that was told to end needs no master, but an end. */
static bool
may_knock(const struct pfk_worker *w)
{
	return !w->leaving || w->how == PFK_DRAIN_LEAVE;
}

static void
on_knock(void *arg)
{
	struct pfk_worker *w = arg;
	uint64_t now = pfk_loop_now(w->loop);

	if (now >= w->ledger->head->orphan_ns) {
		pfk_log(PFK_WARNING,
		    "no new master came: draining, then ending");
		pfk__worker_drain(w, PFK_DRAIN_STOP, w->config->shutdown_ns);
	} else if (!may_knock(w) || !knock(w)) {
		knock_later(w);
	}
}

static void
knock_later(struct pfk_worker *w)
{
	uint64_t now = pfk_loop_now(w->loop), end = w->ledger->head->orphan_ns;
	uint64_t in = !may_knock(w) && end > now ? end - now : KNOCK_NS;

	/* Without it, no master would find the worker, and nothing would end it. */
	for (int i = 0; i < TRIES; i++) {
		if (pfk_timer_set(&w->knock, w->loop, in, on_knock, w) == 0)
			return;
		poll(NULL, 0, (int)(KNOCK_NS / PFK_MSEC_NS));
	}
	pfk_warn("cannot wait for a new master: draining, then ending");
	pfk__worker_drain(w, PFK_DRAIN_STOP, w->config->shutdown_ns);
}

/* For people, and for prefork-ctl. */
static void
show(const struct pfk_worker *w)
{
	uint64_t now = pfk_loop_now(w->loop), end = w->ledger->head->orphan_ns;
	time_t until = time(NULL) + (time_t)((end - now) / PFK_SECOND_NS);
	time_t since = until - (time_t)(w->config->orphan_ns / PFK_SECOND_NS);
	char from[20] = "", to[20] = "";
	struct tm tm;

	if (end < now)
		until = time(NULL);
	if (localtime_r(&since, &tm) != NULL)
		strftime(from, sizeof(from), "%T", &tm);
	if (localtime_r(&until, &tm) != NULL)
		strftime(to, sizeof(to), "%T", &tm);
	pfk__title_set("worker %d (orphan since %s until %s%s)", w->slot, from,
	    to, w->leaving ? ", leaving" : "");
}

bool
pfk__orphan_begin(struct pfk_worker *w)
{
	const struct pfk_master_config *config = w->config;
	uint64_t now = pfk_loop_now(w->loop);
	struct pfk__ledger_head *head;

	if (w->ledger == NULL || config->orphan_ns == 0 ||
	    w->control_path == NULL ||
	    (w->leaving && w->how != PFK_DRAIN_LEAVE))
		return false;
	head = w->ledger->head;
	/* A successor of this process goes on waiting, and no longer. */
	if (head->orphan_ns == 0) {
		head->orphan_ns = now + config->orphan_ns;
		pfk_log(w->let_go ? PFK_DEBUG : PFK_WARNING,
		    "the master has %s: serving on for %g s, until a new "
		    "one takes over",
		    w->let_go ? "given way" : "died",
		    (double)config->orphan_ns / PFK_SECOND_NS);
	}
	pfk_io_cancel(&w->io);
	show(w);
	if (w->let_go)
		on_knock(w);
	else
		knock_later(w);
	w->let_go = false;
	return true;
}

bool
pfk__is_orphan(const struct pfk_worker *w)
{
	return w->ledger != NULL && w->ledger->head->orphan_ns != 0;
}

/*
 * A master that has got a part of the listeners waits for the rest: end that channel,
 * to begin anew.
 */
void
pfk__orphan_resume(struct pfk_worker *w)
{
	if (!pfk__is_orphan(w))
		return;
	if (w->ledger->head->lending == 1)
		shutdown(w->channel, SHUT_RDWR);
	else if (w->ledger->head->lending == 2)
		send_ready(w);
	w->ledger->head->lending = 0;
}

void
pfk__orphan_end(struct pfk_worker *w)
{
	if (!pfk__is_orphan(w))
		return;
	w->ledger->head->orphan_ns = 0;
	release_adopted(w);
	pfk__title_set("worker %d%s", w->slot, w->leaving ? " (leaving)" : "");
}

void
pfk__orphan_cancel(struct pfk_worker *w)
{
	pfk_timer_cancel(&w->knock);
}
