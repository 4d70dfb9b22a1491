/*
 * channel.c: messages between the master and a worker.
 *
 * Layer: process.  unix(7), SCM_RIGHTS.
 */
#include "process/channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SEND_PATIENCE_MS 1000

int
pfk__channel_pair(int fds[2])
{
	return socketpair(AF_UNIX,
	    SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);
}

int
pfk__channel_send(int fd, const struct pfk__message *m, int pass)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)m,
	    .iov_len = sizeof(*m)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int rc;

	if (pass != -1) {
		struct cmsghdr *cm;

		h.msg_control = control.buf;
		h.msg_controllen = sizeof(control.buf);
		cm = CMSG_FIRSTHDR(&h);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cm), &pass, sizeof(int));
	}
	for (;;) {
		if (sendmsg(fd, &h, MSG_NOSIGNAL) != -1)
			return 0;
		if (errno == EINTR)
			continue;
		/* A peer that reads nothing for so long is lost anyway. */
		if (errno != EAGAIN)
			return -1;
		do {
			rc = poll(&p, 1, SEND_PATIENCE_MS);
		} while (rc == -1 && errno == EINTR);
		if (rc != 1) {
			errno = EAGAIN;
			return -1;
		}
	}
}

/* Take the one descriptor of a message; more than one is too many: false. */
static bool
take_descriptors(struct msghdr *h, int *passed)
{
	struct cmsghdr *cm;
	bool good = true;

	for (cm = CMSG_FIRSTHDR(h); cm != NULL; cm = CMSG_NXTHDR(h, cm)) {
		size_t n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cm) + i * sizeof(int),
			    sizeof(int));
			if (*passed == -1) {
				*passed = fd;
			} else {
				close(fd);
				good = false;
			}
		}
	}
	/* Cut after the first, there were more; before it, no room. */
	return good && (*passed == -1 || (h->msg_flags & MSG_CTRUNC) == 0);
}

int
pfk__channel_receive(int fd, struct pfk__message *m, int *passed)
{
	union {
		char buf[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = m, .iov_len = sizeof(*m)};
	struct msghdr h = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.buf,
	    .msg_controllen = sizeof(control.buf)};
	ssize_t n;

	*passed = -1;
	do {
		n = recvmsg(fd, &h, MSG_CMSG_CLOEXEC);
	} while (n == -1 && errno == EINTR);
	if (n == -1)
		return errno == ECONNRESET ? 0 : -1;
	if (n == 0 && h.msg_controllen == 0)
		return 0;
	if (take_descriptors(&h, passed) && n == (ssize_t)sizeof(*m) &&
	    (h.msg_flags & MSG_TRUNC) == 0 && m->type > 0 &&
	    m->type < PFK__MSG_TYPES) {
		m->text[sizeof(m->text) - 1] = '\0';
		if ((h.msg_flags & MSG_CTRUNC) == 0)
			return 1;
		errno = EMFILE;
		return -1;
	}
	if (*passed != -1)
		close(*passed);
	*passed = -1;
	errno = EPROTO;
	return -1;
}
