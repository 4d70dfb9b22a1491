/*
 * received.c: descriptors that another process has sent.
 *
 * Layer: base.  unix(7), SCM_RIGHTS.
 */
#include "base/received.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* SCM_MAX_FD of the kernel. */
#define FDS_MAX 253
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

static int
option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

/* The next descriptor of a control message, from the first on; or -1. */
static int
next_sent(const struct cmsghdr *cm, size_t *i)
{
	int fd;

	if (cm->cmsg_level != SOL_SOCKET ||
	    (cm->cmsg_type != SCM_RIGHTS && cm->cmsg_type != SCM_PIDFD) ||
	    CMSG_LEN((*i + 1) * sizeof(int)) > cm->cmsg_len)
		return -1;
	memcpy(&fd, CMSG_DATA(cm) + (*i)++ * sizeof(int), sizeof(int));
	return fd;
}

void
pfk__close_sent(const struct cmsghdr *cm)
{
	size_t i = 0;
	int fd;

	while ((fd = next_sent(cm, &i)) != -1)
		pfk__close_received(fd);
}

/* Keep the first descriptors of a control message, and close the others. */
static void
take(struct pfk__parcel *p, const struct cmsghdr *cm)
{
	size_t i = 0;
	int fd;

	while ((fd = next_sent(cm, &i)) != -1) {
		if (cm->cmsg_type == SCM_RIGHTS && p->n < PFK__PARCEL_FDS)
			p->fds[p->n] = fd;
		else
			pfk__close_received(fd);
		p->n += cm->cmsg_type == SCM_RIGHTS;
	}
}

ssize_t
pfk__receive(int fd, void *buf, size_t len, struct pfk__parcel *p)
{
	union {
		/* And a pidfd, and a sender's identity. */
		char buf[CMSG_SPACE(FDS_MAX * sizeof(int)) +
		    CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	struct msghdr h = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.buf,
	    .msg_controllen = sizeof(control.buf)};
	ssize_t n;

	*p = (struct pfk__parcel){.fds = {-1, -1}};
	do {
		n = recvmsg(fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n == -1 && errno == EINTR);
	/* The message stays: a caller that took it for lost would end the sender. */
	if (n == -1 && (errno == ENOMEM || errno == ENOBUFS))
		errno = EAGAIN;
	if (n == -1)
		return -1;
	p->no_room = (h.msg_flags & MSG_CTRUNC) != 0;
	p->too_long = (h.msg_flags & MSG_TRUNC) != 0;
	p->is_end = n == 0 && h.msg_controllen == 0 && !p->no_room;
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(&h); cm != NULL;
	     cm = CMSG_NXTHDR(&h, cm))
		take(p, cm);
	return n;
}

void
pfk__parcel_close(struct pfk__parcel *p)
{
	for (size_t i = 0; i < PFK__PARCEL_FDS; i++) {
		if (p->fds[i] != -1)
			pfk__close_received(p->fds[i]);
		p->fds[i] = -1;
	}
}

/* closing */

/*
 * Those that wait for their close.  A queue may hold a socket with a queue, and so on:
 * Linux has no bound of that since 6.10, so that a recursion would run out of stack.
 */
static _Thread_local struct {
	int *list;
	size_t n, room;
	bool busy;
} pending;

#define ROOM_KEPT 256

static bool
push(int fd)
{
	size_t room = pending.room > 0 ? 2 * pending.room : 16;
	int *larger;

	if (pending.n == pending.room) {
		larger = reallocarray(pending.list, room, sizeof(int));
		if (larger == NULL)
			return false;
		pending.list = larger;
		pending.room = room;
	}
	pending.list[pending.n++] = fd;
	return true;
}

/*
 * After the shutdown nothing comes any more.  Each message then shows the
 * sender's identity, which tells one of 0 bytes from the end.
 */
static void
empty(int fd)
{
	int type = option(fd, SO_TYPE), on = 1;
	/* Not known: the end of a stream is told with an identity, too. */
	bool stream = type == SOCK_STREAM || type == -1;

	setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	shutdown(fd, SHUT_RD);
	/* Without a wait, because of the shutdown. */
	while (option(fd, SO_ACCEPTCONN) == 1) {
		int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

		if (peer == -1)
			return;
		pfk__close_received(peer);
	}
	for (;;) {
		char buf[4096];
		struct pfk__parcel p;
		ssize_t n = pfk__receive(fd, buf, sizeof(buf), &p);

		pfk__parcel_close(&p);
		if (n == -1 || (n == 0 && (stream || p.is_end)))
			return;
	}
}

static void
close_one(int fd)
{
	pfk__never_linger(fd);
	if (option(fd, SO_DOMAIN) == AF_UNIX)
		empty(fd);
	close(fd);
}

void
pfk__never_linger(int fd)
{
	struct linger l = {0}, off = {0};
	socklen_t len = sizeof(l);

	/* With a time of 0 it resets the connection, and does not wait. */
	if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &len) == 0 &&
	    l.l_onoff != 0 && l.l_linger > 0)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
}

void
pfk__close_received(int fd)
{
	if (pending.busy) {
		if (push(fd))
			return;
		/* Its queue is left to the kernel. */
		pfk__never_linger(fd);
		close(fd);
		return;
	}
	pending.busy = true;
	close_one(fd);
	while (pending.n > 0)
		close_one(pending.list[--pending.n]);
	pending.busy = false;
	if (pending.room > ROOM_KEPT) {
		free(pending.list);
		pending.list = NULL;
		pending.room = 0;
	}
}

void
pfk__close_emptied(int fd)
{
	int saved_errno = errno;

	shutdown(fd, SHUT_RDWR);
	pfk__close_received(fd);
	errno = saved_errno;
}

static bool fixed;

void
pfk__receive_fixed(void)
{
	fixed = true;
}

void
pfk__receive_none(int fd)
{
	int off = 0;

	if (!fixed)
		setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
}
