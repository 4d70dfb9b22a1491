/*
 * linger.h: descriptors of an attacker.
 */
#include "linger.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit.h"

#define HOURS_9 32400

int
linger_socket(void)
{
	struct linger l = {.l_onoff = 1, .l_linger = HOURS_9};
	static char bytes[65536];
	struct pfk_addr to;
	int listener = unit_listen(&to), fd = unit_connect(&to);

	accept(listener, NULL, NULL);
	close(listener);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (write(fd, bytes, sizeof(bytes)) > 0)
		continue;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	return fd;
}

int
linger_send(int to, const void *buf, size_t len, const int *fds, size_t n)
{
	struct iovec iov = {(void *)(uintptr_t)buf, len};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *cm = NULL;
	int rc;

	if (n > 0) {
		h.msg_controllen = CMSG_SPACE(n * sizeof(int));
		cm = calloc(1, h.msg_controllen);
		if (cm == NULL)
			return -1;
		h.msg_control = cm;
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(cm), fds, n * sizeof(int));
	}
	rc = (int)sendmsg(to, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
	free(cm);
	return rc;
}
