/*
 * store.c: copies of the listeners in custody that the service manager keeps.
 *
 * Layer: process.  sd_notify(3), sd_listen_fds(3), socket(7).
 */
#include "process/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/passed.h"
#include "base/received.h"
#include "net/addr.h"
#include "net/listener.h"
#include "net/steer.h"
#include "process/lend.h"
#include "process/master.h"

#define RETRY_NS (50 * PFK_MSEC_NS)
/* A manager that does not read does not keep a stop from its work. */
#define END_NS (500 * PFK_MSEC_NS)

#define NAME_SIZE 80
/* Slot, kind, whether port 0 was asked for, cookie, time of opening. */
#define NAME_FORMAT "prefork-%d-%s-%d-%llx-%llx"

struct pfk__stored {
	RB_ENTRY(pfk__stored) node;
	uint64_t cookie;
	uint64_t pass; /* the last one that found it in custody */
	char name[NAME_SIZE];
};

static int
compare(const struct pfk__stored *a, const struct pfk__stored *b)
{
	return (a->cookie > b->cookie) - (a->cookie < b->cookie);
}

/* As in custody.c. NOLINTNEXTLINE */
RB_GENERATE_INTERNAL(pfk__stored_tree, pfk__stored, node, compare,
    static __attribute__((unused)))

static struct pfk__stored *
find(struct pfk__store *s, uint64_t cookie)
{
	struct pfk__stored key = {.cookie = cookie};

	return RB_FIND(pfk__stored_tree, &s->all, &key);
}

static struct pfk__stored *
insert(struct pfk__store *s, uint64_t cookie, const char *name)
{
	struct pfk__stored *n = calloc(1, sizeof(*n));

	if (n == NULL)
		return NULL;
	n->cookie = cookie;
	strlcpy(n->name, name, sizeof(n->name));
	RB_INSERT(pfk__stored_tree, &s->all, n);
	s->len++;
	return n;
}

static void
drop(struct pfk__store *s, struct pfk__stored *n)
{
	assert(s->len > 0);
	RB_REMOVE(pfk__stored_tree, &s->all, n);
	s->len--;
	free(n);
}

/* The kernel gives each socket another one, and never one again.  0: unknown. */
static uint64_t
cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0
	    ? cookie
	    : 0;
}

/* telling */

static int
send_remove(struct pfk__master *m, const struct pfk__stored *n)
{
	char text[NAME_SIZE + 40];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", n->name);
	return pfk__notify_pass(m, text, -1);
}

/* A listener that is broken is this service's affair: FDPOLL. */
static int
send_add(struct pfk__master *m, const struct pfk__stored *n, int fd)
{
	char text[NAME_SIZE + 40];

	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", n->name);
	return pfk__notify_pass(m, text, fd);
}

static int
add(struct pfk__master *m, const struct pfk__lent *l)
{
	struct pfk__store *s = &m->store;
	struct pfk__stored *n;
	char name[NAME_SIZE];

	if (s->len >= s->room && !s->full_logged)
		pfk_log(PFK_WARNING,
		    "the service manager keeps %zu of %zu listeners; raise "
		    "FileDescriptorStoreMax= of the unit",
		    s->room, m->custody.len);
	s->full_logged |= s->len >= s->room;
	if (s->len >= s->room)
		return 0;
	snprintf(name, sizeof(name), NAME_FORMAT, l->slot,
	    pfk__kind_name(l->kind), pfk_addr_port(&l->asked) == 0,
	    (unsigned long long)l->cookie, (unsigned long long)l->opened_ns);
	n = insert(s, l->cookie, name);
	if (n == NULL)
		return -1;
	n->pass = s->pass;
	if (send_add(m, n, l->fd) == 0)
		return 0;
	drop(s, n);
	return -1;
}

/* Note which ones are in custody. */
static void
mark(struct pfk__master *m)
{
	struct pfk__store *s = &m->store;
	struct pfk__stored *n;
	struct pfk__lent *l;

	s->pass++;
	if (s->suspended)
		return;
	for (l = pfk__custody_first_of_all(&m->custody); l != NULL;
	     l = pfk__custody_next_of_all(l)) {
		if (l->cookie == 0)
			l->cookie = cookie_of(l->fd);
		n = find(s, l->cookie);
		if (n != NULL)
			n->pass = s->pass;
	}
}

static int
remove_others(struct pfk__master *m)
{
	struct pfk__store *s = &m->store;
	struct pfk__stored *n, *next;

	RB_FOREACH_SAFE(n, pfk__stored_tree, &s->all, next) {
		if (n->pass == s->pass)
			continue;
		if (send_remove(m, n) == -1)
			return -1;
		s->removed = true;
		drop(s, n);
	}
	return 0;
}

static int
add_missing(struct pfk__master *m)
{
	struct pfk__lent *l;

	if (m->store.suspended)
		return 0;
	for (l = pfk__custody_first_of_all(&m->custody); l != NULL;
	     l = pfk__custody_next_of_all(l)) {
		if (l->cookie != 0 && find(&m->store, l->cookie) == NULL &&
		    add(m, l) == -1)
			return -1;
	}
	return 0;
}

/* False: the manager does not read for the moment. */
static bool
agree(struct pfk__master *m)
{
	struct pfk__store *s = &m->store;

	if (s->suspended ? s->len == 0 : s->seen == m->custody.changes)
		return true;
	mark(m);
	if (remove_others(m) == -1 || add_missing(m) == -1)
		return false;
	if (!s->suspended)
		s->seen = m->custody.changes;
	return true;
}

/* The barrier: the manager closes a pipe when it has dealt with all before. */

/* The end that tells it, or -1. */
static int
send_barrier(struct pfk__master *m)
{
	int fds[2], rc, saved_errno;

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) == -1)
		return -1;
	rc = pfk__notify_pass(m, "BARRIER=1", fds[1]);
	saved_errno = errno;
	close(fds[1]);
	if (rc == 0)
		return fds[0];
	close(fds[0]);
	errno = saved_errno;
	return -1;
}

static void
end_barrier(struct pfk__store *s)
{
	if (s->io == NULL)
		return;
	pfk_io_cancel(&s->io);
	close(s->barrier);
}

static void
on_barrier(void *arg, unsigned ready)
{
	struct pfk__master *m = arg;

	(void)ready;
	end_barrier(&m->store);
	pfk__store_maintain(m);
}

/* False: later. */
static bool
begin_barrier(struct pfk__master *m)
{
	struct pfk__store *s = &m->store;

	if (!s->removed || s->io != NULL)
		return true;
	s->barrier = send_barrier(m);
	if (s->barrier == -1)
		return false;
	s->io = pfk_io_add(m->loop, s->barrier, PFK_READ, on_barrier, m);
	if (s->io == NULL) {
		close(s->barrier);
		return false;
	}
	s->removed = false;
	return true;
}

/* maintaining */

static void
on_retry(void *arg)
{
	pfk__store_maintain(arg);
	/* An upgrade may wait for it. */
	pfk__master_wake(arg);
}

/* The manager reads later, or this process gets the descriptors that it lacks. */
static bool
may_pass(int error)
{
	return error == EAGAIN || error == ENOBUFS || error == ENOMEM ||
	    error == EMFILE || error == ENFILE || error == ETOOMANYREFS;
}

void
pfk__store_maintain(struct pfk__master *m)
{
	if (m->store.room == 0 || (agree(m) && begin_barrier(m)))
		return;
	if (may_pass(errno)) {
		pfk_timer_set(&m->store.retry, m->loop, RETRY_NS, on_retry, m);
		return;
	}
	pfk_warn("the service manager keeps no listeners from now on: "
		 "NOTIFY_SOCKET");
	pfk__store_close(m);
}

bool
pfk__store_settled(struct pfk__master *m)
{
	struct pfk__store *s = &m->store;

	pfk__store_maintain(m);
	return s->room == 0 ||
	    ((s->suspended ? s->len == 0 : s->seen == m->custody.changes) &&
		!s->removed && s->io == NULL);
}

bool
pfk__store_empty(struct pfk__master *m)
{
	m->store.suspended = true;
	pfk__store_maintain(m);
	return m->store.len == 0;
}

void
pfk__store_resume(struct pfk__master *m)
{
	m->store.suspended = false;
	m->store.seen = UINT64_MAX;
}

static void
wait_for(int fd, short events, uint64_t end_ns)
{
	struct pollfd p = {.fd = fd, .events = events};
	uint64_t now = pfk__clock_now();

	if (now < end_ns)
		poll(&p, 1, (int)((end_ns - now) / PFK_MSEC_NS) + 1);
}

void
pfk__store_end(struct pfk__master *m)
{
	struct pfk__store *s = &m->store;
	uint64_t end_ns = pfk__clock_now() + END_NS;
	int barrier;

	s->suspended = true;
	if (s->room == 0 || s->len == 0)
		return;
	while (!agree(m) && pfk__clock_now() < end_ns)
		wait_for(m->notify.fd, POLLOUT, end_ns);
	barrier = send_barrier(m);
	if (barrier == -1)
		return;
	wait_for(barrier, POLLIN, end_ns);
	close(barrier);
}

/* the start */

int
pfk__store_enter(struct pfk__master *m)
{
	m->store.seen = UINT64_MAX;
	RB_INIT(&m->store.all);
	for (int i = 0; i < pfk__passed_count(); i++) {
		if (pfk_keep_fd(PFK__PASSED_FIRST + i, false) == -1)
			return -1;
	}
	return 0;
}

/* False: the name is not one of ours. */
static bool
read_name(const char *name, struct pfk__lent *l, bool *any_port)
{
	unsigned long long cookie, opened;
	char kind[4];
	int port, n = 0;

	if (sscanf(name, "prefork-%d-%3[a-z]-%1d-%llx-%llx%n", &l->slot, kind,
		&port, &cookie, &opened, &n) != 5 ||
	    name[n] != '\0' || n >= NAME_SIZE)
		return false;
	l->kind = strcmp(kind, "tcp") == 0 ? PFK_TCP : PFK_UDP;
	l->cookie = cookie;
	l->opened_ns = opened;
	*any_port = port != 0;
	return l->slot >= 0 && l->slot < PFK_WORKERS_MAX && cookie != 0;
}

/* Whether it is the listener that the name says, and can still be served. */
static bool
is_good(const struct pfk__master *m, struct pfk__lent *l, bool any_port)
{
	struct pfk__message msg = {.slot = l->slot, .kind = (int32_t)l->kind};

	l->bound.len = sizeof(l->bound.in6);
	if (cookie_of(l->fd) != l->cookie || l->opened_ns > pfk__clock_now() ||
	    getsockname(l->fd, &l->bound.sa, &l->bound.len) == -1)
		return false;
	l->asked = l->bound;
	if (any_port)
		pfk__addr_set_port(&l->asked, 0);
	msg.bound = l->bound;
	msg.asked = l->asked;
	return pfk__lend_check(&m->custody, &msg, l->fd) == NULL &&
	    !pfk__custody_broken(l);
}

/* Into custody; or else it is removed from the store, where it has a name. */
static bool
take(struct pfk__master *m, int fd, const char *name)
{
	struct pfk__lent l = {.fd = fd};
	bool any_port;

	if (!read_name(name, &l, &any_port))
		return false;
	if (find(&m->store, l.cookie) == NULL &&
	    insert(&m->store, l.cookie, name) == NULL)
		return false;
	/* The analyzer loses the tree that has the new one. NOLINTNEXTLINE */
	if (!is_good(m, &l, any_port))
		return false;
	/* Its group may have been steered when the service ended. */
	pfk__unsteer(fd);
	pfk__listener_reclaim(fd);
	if (pfk__custody_add(&m->custody, &l) == -1)
		return false;
	if (l.slot >= m->places_top)
		m->places_top = l.slot + 1;
	return true;
}

static void
take_all(struct pfk__master *m)
{
	const char *at = pfk__passed_names();
	int n = pfk__passed_count(), taken = 0;
	char name[NAME_SIZE];
	size_t len;

	for (int i = 0; i < n; i++) {
		len = at != NULL ? strcspn(at, ":") : 0;
		snprintf(name, sizeof(name), "%.*s", (int)len,
		    at != NULL ? at : "");
		if (at != NULL)
			at = at[len] == ':' ? at + len + 1 : NULL;
		if (take(m, PFK__PASSED_FIRST + i, name))
			taken++;
		else
			pfk__close_received(PFK__PASSED_FIRST + i);
	}
	if (taken > 0)
		pfk_log(PFK_INFO,
		    "took over %d listener%s that the service manager has "
		    "kept",
		    taken, taken == 1 ? "" : "s");
	if (taken < n)
		pfk_log(PFK_WARNING,
		    "closed %d descriptor%s of the service manager "
		    "(LISTEN_FDS), because this service opens its listeners "
		    "itself",
		    n - taken, n - taken == 1 ? "" : "s");
}

void
pfk__store_open(struct pfk__master *m)
{
	const char *room = getenv("FDSTORE"), *errstr;

	take_all(m);
	if (room != NULL && m->notify.fd > 0)
		m->store.room = (size_t)strtonum(room, 1, INT32_MAX, &errstr);
}

void
pfk__store_close(struct pfk__master *m)
{
	struct pfk__store *s = &m->store;
	struct pfk__stored *n;

	pfk_timer_cancel(&s->retry);
	end_barrier(s);
	while ((n = RB_MIN(pfk__stored_tree, &s->all)) != NULL)
		drop(s, n);
	s->room = 0;
}
