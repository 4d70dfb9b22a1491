/*
 * control.c: the control socket in the master's loop: the rights and the number
 * of its clients.
 *
 * Layer: process.  Any local user can connect.  A stranger is refused at once and
 * costs no memory.  The others have a place each in a bounded list, which they
 * lose to a newcomer of the same rights while they are slow.
 */
#include "process/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fds.h"
#include "base/received.h"
#include "process/master.h"
#include "process/rundir.h"

#define CLIENTS_MAX 32
#define ACCEPTS_A_TURN 16
#define PAUSE_NS (100 * PFK_MSEC_NS)
#define TOO_MANY "too many clients; try again"

/* rights */

static bool
has_group(int fd, gid_t primary, gid_t group)
{
	socklen_t len = 0;
	gid_t *groups;
	bool found = false;

	if (primary == group)
		return true;
	/* Without room it fails, and sets the length that it takes. */
	/* cppcheck-suppress nullPointer */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 ||
	    errno != ERANGE)
		return false;
	groups = malloc(len);
	if (groups != NULL &&
	    getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == 0) {
		for (size_t i = 0; i < len / sizeof(*groups); i++)
			found = found || groups[i] == group;
	}
	free(groups);
	return found;
}

static enum pfk__right
right_of(const struct pfk__control_socket *k, int fd, uid_t *uid, pid_t *pid)
{
	const struct pfk_master_config *config = &k->master->config;
	socklen_t len = sizeof(struct ucred);
	struct ucred peer;

	*uid = (uid_t)-1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == -1)
		return PFK__RIGHT_NONE;
	*uid = peer.uid;
	*pid = peer.pid;
	if (peer.uid == 0 || peer.uid == geteuid())
		return PFK__RIGHT_COMMAND;
	if (config->worker_user != 0 && peer.uid == config->worker_user)
		return PFK__RIGHT_KNOCK;
	if (config->control_group != 0 &&
	    has_group(fd, peer.gid, config->control_group))
		return PFK__RIGHT_READ;
	return PFK__RIGHT_NONE;
}

/* admission */

/* A socket without an answer has room for a line. */
static void
tell_refusal(int fd, int status, const char *why, uid_t uid)
{
	char line[160];
	int n = snprintf(line, sizeof(line), "ERR %d %s (user %u)\n", status,
	    why, (unsigned)uid);

	send(fd, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
refuse(int fd, int status, const char *why, uid_t uid)
{
	tell_refusal(fd, status, why, uid);
	/* Anybody may have sent descriptors. */
	pfk__close_emptied(fd);
}

/*
 * A client waits for a result.  The others lose their place to a newcomer of the
 * same rights; one that waits for the connections, only to one of more rights,
 * because the group that may read could take all places by it.
 */
static bool
may_stay(const struct pfk__client *c, enum pfk__right newcomer)
{
	return c->wish != PFK__WISH_NONE &&
	    (c->wish != PFK__WISH_CONNECTIONS || c->right >= newcomer);
}

/* The oldest that has the fewest rights, and may not stay. */
static struct pfk__client *
slowest(struct pfk__control_socket *k, enum pfk__right newcomer)
{
	struct pfk__client *c, *found = NULL;

	TAILQ_FOREACH(c, &k->clients, link) {
		if (!may_stay(c, newcomer) &&
		    (found == NULL || c->right < found->right))
			found = c;
	}
	return found;
}

static void
give_way(struct pfk__client *c)
{
	if (c->wish != PFK__WISH_NONE)
		tell_refusal(c->fd, EX_TEMPFAIL, TOO_MANY, c->uid);
	pfk__client_drop(c);
}

static void
take_in(struct pfk__control_socket *k, int fd, enum pfk__right right, uid_t uid,
    pid_t pid)
{
	struct pfk__client *c, *old;

	old = k->n_clients == CLIENTS_MAX ? slowest(k, right) : NULL;
	if (k->n_clients == CLIENTS_MAX &&
	    (old == NULL || old->right > right)) {
		refuse(fd, EX_TEMPFAIL, TOO_MANY, uid);
		return;
	}
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		goto err1;
	if (old != NULL)
		give_way(old);
	*c = (struct pfk__client){.control = k,
	    .fd = fd,
	    .right = right,
	    .pid = pid,
	    .uid = uid,
	    .passed = -1};
	/* Only a knock brings a descriptor. */
	if (right == PFK__RIGHT_READ)
		pfk__receive_none(fd);
	if (pfk__client_start(c) == 0)
		return;
	free(c);
err1:
	pfk__close_emptied(fd);
}

static enum pfk__right
admit(struct pfk__control_socket *k, int fd)
{
	uid_t uid;
	pid_t pid = 0;
	enum pfk__right right = right_of(k, fd, &uid, &pid);

	if (right == PFK__RIGHT_NONE)
		refuse(fd, EX_NOPERM, "not permitted to this user", uid);
	else
		take_in(k, fd, right, uid, pid);
	return right;
}

void
pfk__control_charge(struct pfk__control_socket *k, enum pfk__right right)
{
	if (right < PFK__RIGHT_COMMAND)
		pfk__ration_end(&k->ration, pfk_loop_now(k->master->loop));
}

void
pfk__control_bring(struct pfk__master *m, int fd)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(domain);

	if (m->control != NULL &&
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	    domain == AF_UNIX && type == SOCK_STREAM)
		take_in(m->control, fd, PFK__RIGHT_READ, m->config.worker_user,
		    0);
	else
		pfk__close_received(fd);
}

static void
on_pause_over(void *arg)
{
	struct pfk__control_socket *k = arg;

	pfk_io_want(k->io, PFK_READ);
}

/* Those that connect wait in the backlog. */
static void
pause_for(struct pfk__control_socket *k, uint64_t ns)
{
	if (pfk_timer_set(&k->pause, k->master->loop, ns, on_pause_over, k) ==
	    0)
		pfk_io_want(k->io, 0);
}

static void
on_accept(void *arg, unsigned ready)
{
	struct pfk__control_socket *k = arg;
	uint64_t wait_ns = 0;

	(void)ready;
	/* A command may close the listener. */
	for (int i = 0; i < ACCEPTS_A_TURN && k->io != NULL && wait_ns == 0;
	     i++) {
		int fd;

		pfk__ration_begin(&k->ration);
		fd = pfk__accept(k->instance.fd, NULL, NULL,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd != -1) {
			pfk__control_charge(k, admit(k, fd));
			wait_ns = pfk__ration_wait_ns(&k->ration,
			    pfk_loop_now(k->master->loop));
			continue;
		}
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			pause_for(k, PAUSE_NS); /* out of descriptors */
		return;
	}
	if (wait_ns != 0 && k->io != NULL)
		pause_for(k, wait_ns);
}

void
pfk__control_admit(struct pfk__master *m, bool yes)
{
	struct pfk__control_socket *k = m->control;

	pfk_timer_cancel(&k->pause);
	if (k->io != NULL)
		pfk_io_want(k->io, yes ? PFK_READ : 0);
}

bool
pfk__control_busy(const struct pfk__master *m)
{
	const struct pfk__client *c;

	TAILQ_FOREACH(c, &m->control->clients, link) {
		if (c->wish != PFK__WISH_UPGRADE)
			return true;
	}
	return false;
}

void
pfk__control_forsake(struct pfk__master *m)
{
	struct pfk__client *c, *next;

	if (m->control == NULL)
		return;
	TAILQ_FOREACH_SAFE(c, &m->control->clients, link, next) {
		if (c->wish == PFK__WISH_UPGRADE)
			continue;
		/* Only the bytes that the kernel takes at once are sent. */
		c->io = NULL;
		if (c->answer != NULL)
			pfk__client_write(c);
		else
			pfk__client_fail(c, EX_TEMPFAIL,
			    "another program takes the place of the running "
			    "one; try again");
	}
}

/* life */

static void watch_directory(struct pfk__control_socket *k);

static int
watch(struct pfk__control_socket *k)
{
	k->io = pfk_io_add(k->master->loop, k->instance.fd, PFK_READ, on_accept,
	    k);
	return k->io != NULL ? 0 : -1;
}

void
pfk__control_restore(struct pfk__master *m)
{
	struct pfk__control_socket *k = m->control;
	const char *errstr;

	if (k->instance.socket[0] == '\0' ||
	    pfk__instance_is_whole(&k->instance))
		return;
	pfk_timer_cancel(&k->pause);
	pfk_io_cancel(&k->io);
	if (pfk__instance_restore(&k->instance, &errstr) == -1 ||
	    watch(k) == -1)
		pfk_log(PFK_WARNING,
		    "the control socket %s was removed, and cannot be made "
		    "anew: %s; a reload tries again",
		    k->instance.socket,
		    errstr != NULL ? errstr : strerror(errno));
	else
		pfk_log(PFK_WARNING,
		    "the control socket %s was removed; made it anew",
		    k->instance.socket);
	watch_directory(k);
}

static void
on_directory(void *arg, unsigned ready)
{
	struct pfk__control_socket *k = arg;
	char events[4096];

	(void)ready;
	while (read(k->directory_fd, events, sizeof(events)) > 0)
		continue;
	pfk__control_restore(k->master);
}

/* Without the watch only a reload notices a missing socket. */
static void
watch_directory(struct pfk__control_socket *k)
{
	char dir[PFK_CONTROL_SIZE];

	if (k->directory == NULL) {
		k->directory_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
		if (k->directory_fd == -1)
			return;
		k->directory = pfk_io_add(k->master->loop, k->directory_fd,
		    PFK_READ, on_directory, k);
		if (k->directory == NULL) {
			close(k->directory_fd);
			return;
		}
	}
	strlcpy(dir, k->instance.socket, sizeof(dir));
	strrchr(dir, '/')[1] = '\0';
	/* Again, it is the same watch unless the directory is another. */
	inotify_add_watch(k->directory_fd, dir,
	    IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF);
}

/* Workers that outlive their master look for the next one there. */
static void
check_way(const struct pfk__master *m)
{
	const char *why = pfk__rundir_closed(m->control->instance.socket,
	    m->config.worker_user);

	if (why != NULL && !m->config.no_keeper && m->config.orphan_ns > 0)
		pfk_log(PFK_WARNING,
		    "if this master dies, the next one cannot take its "
		    "workers over, and no upgrade is possible: %s",
		    why);
}

int
pfk__control_open(struct pfk__master *m)
{
	struct pfk__control_socket *k = calloc(1, sizeof(*k));
	char err[PFK_ERROR_SIZE];
	int status;

	if (k == NULL) {
		pfk_complain("cannot start: %s", strerror(errno));
		return EX_OSERR;
	}
	m->control = k;
	k->master = m;
	k->started_ns = k->configured_ns = pfk_loop_now(m->loop);
	k->started = k->configured = time(NULL);
	TAILQ_INIT(&k->clients);
	status = pfk__instance_open(&k->instance, &m->config, err);
	if (status == EX_OK && k->instance.fd != -1 && watch(k) == -1) {
		snprintf(err, sizeof(err),
		    "cannot watch the control socket: %s", strerror(errno));
		status = EX_OSERR;
	}
	if (status == EX_OK && k->instance.fd != -1) {
		watch_directory(k);
		check_way(m);
	}
	if (status != EX_OK)
		pfk_complain("%s", err);
	else if (err[0] != '\0')
		pfk_log(PFK_WARNING,
		    "no control socket, so prefork-ctl cannot reach this "
		    "service: %s; give it a place, or turn it off",
		    err);
	return status;
}

const char *
pfk__control_path(const struct pfk__master *m)
{
	const struct pfk__control_socket *k = m->control;

	return k != NULL && k->instance.fd != -1 ? k->instance.socket : NULL;
}

bool
pfk__control_was_stale(const struct pfk__master *m)
{
	return m->control != NULL && m->control->instance.was_stale;
}

void
pfk__control_close(struct pfk__master *m)
{
	struct pfk__control_socket *k = m->control;
	struct pfk__client *c, *next;

	if (k == NULL)
		return;
	pfk__listing_cancel(m);
	pfk_timer_cancel(&k->pause);
	pfk_io_cancel(&k->io);
	if (k->directory != NULL) {
		pfk_io_cancel(&k->directory);
		close(k->directory_fd);
	}
	TAILQ_FOREACH_SAFE(c, &k->clients, link, next) {
		pfk_io_cancel(&c->io);
		pfk_timer_cancel(&c->deadline);
		if (c->answer != NULL)
			pfk__client_write(c);
		else if (c->wish != PFK__WISH_STOP)
			pfk__client_fail(c, EX_UNAVAILABLE,
			    "the service has ended");
	}
}

void
pfk__control_end(struct pfk__master *m)
{
	struct pfk__control_socket *k = m->control;

	if (k == NULL)
		return;
	/* Workers of a dead master may still wait for one that starts. */
	if (k->instance.was_stale && !m->started)
		k->instance.stays = true;
	pfk__instance_close(&k->instance);
	while (!TAILQ_EMPTY(&k->clients))
		pfk__client_done(TAILQ_FIRST(&k->clients), "stopped");
	free(k);
	m->control = NULL;
}
