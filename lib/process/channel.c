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

#include "base/received.h"

#define SEND_PATIENCE_MS 1000

int
pfk__channel_pair(int fds[2])
{
	return socketpair(AF_UNIX,
	    SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);
}

int
pfk__channel_try(int fd, const struct pfk__message *m, int pass)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)m,
	    .iov_len = sizeof(*m)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

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
	do {
		n = sendmsg(fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n == -1 && errno == EINTR);
	return n != -1 ? 0 : -1;
}

int
pfk__channel_send(int fd, const struct pfk__message *m, int pass)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int rc;

	while (pfk__channel_try(fd, m, pass) == -1) {
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
	return 0;
}

uint32_t
pfk__msg_in_version(uint32_t type, int version)
{
	return version == 1 && type > PFK__MSG_LATER ? type - 1 : type;
}

uint32_t
pfk__msg_of_version(uint32_t type, int version)
{
	return version == 1 && type >= PFK__MSG_LATER ? type + 1 : type;
}

int
pfk__channel_receive(int fd, struct pfk__message *m, int *passed)
{
	struct pfk__parcel p;
	ssize_t n;

	memset(m->text, 0, sizeof(m->text));
	n = pfk__receive(fd, m, sizeof(*m), &p);

	*passed = -1;
	if (n == -1)
		return errno == ECONNRESET ? 0 : -1;
	if (p.is_end)
		return 0;
	if (n < (ssize_t)PFK__MESSAGE_MIN || m->type == 0 || p.n > 1 ||
	    (p.no_room && p.n > 0)) {
		pfk__parcel_close(&p);
		errno = EPROTO;
		return -1;
	}
	m->text[sizeof(m->text) - 1] = '\0';
	*passed = p.fds[0];
	errno = EMFILE;
	return p.no_room ? -1 : 1;
}
