/*
 * refuse-epoll.c: to be preloaded: epoll_ctl(2) refuses the first two listeners
 * and datagram sockets of each process by ENOSPC.
 */
#include <dlfcn.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

int
epoll_ctl(int ep, int op, int fd, struct epoll_event *event)
{
	static int left = 2;
	int (*real)(int, int, int, struct epoll_event *);
	int listens = 0, type = 0;
	socklen_t len = sizeof(listens);

	getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len);
	len = sizeof(type);
	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
	if (op == EPOLL_CTL_ADD && left > 0 &&
	    (listens != 0 || type == SOCK_DGRAM)) {
		left--;
		errno = ENOSPC;
		return -1;
	}
	*(void **)&real = dlsym(RTLD_NEXT, "epoll_ctl");
	return real(ep, op, fd, event);
}
