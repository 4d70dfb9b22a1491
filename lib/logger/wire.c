/*
 * wire.c: unix(7) packets with at most one descriptor.
 *
 * Layer: logger.
 */
#include "logger/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/received.h"

union control {
	char buf[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

int
pfk__wire_send(int socket, const struct pfk__wire *w, int fd)
{
	struct pfk__wire copy = *w;
	struct iovec iov = {.iov_base = &copy, .iov_len = sizeof(copy)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	union control control = {0};
	struct cmsghdr *cm;
	ssize_t n;

	if (fd != -1) {
		h.msg_control = control.buf;
		h.msg_controllen = sizeof(control.buf);
		cm = CMSG_FIRSTHDR(&h);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cm), &fd, sizeof(int));
	}
	do {
		n = sendmsg(socket, &h, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n == -1 && errno == EINTR);
	return n == -1 ? -1 : 0;
}

int
pfk__wire_receive(int socket, struct pfk__wire *w, int *fd)
{
	struct pfk__parcel p;
	ssize_t n = pfk__receive(socket, w, sizeof(*w), &p);

	*fd = -1;
	if (n == -1)
		return errno == ECONNRESET ? 0 : -1;
	if (n != (ssize_t)sizeof(*w) || p.n > 1) {
		pfk__parcel_close(&p);
		return 0;
	}
	w->name[sizeof(w->name) - 1] = '\0';
	*fd = p.fds[0];
	return 1;
}
