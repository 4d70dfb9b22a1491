/*
 * errors.c: the error queue of a socket: empty it, and let nothing fill it.
 *
 * Layer: net.  recv(2) on MSG_ERRQUEUE, socket(7), ip(7) on IP_RECVERR.
 */
#include "net/errors.h"

#include <netinet/in.h>
#include <sys/socket.h>

/* The others wait for the next turn of the loop. */
#define DROP_MAX 64

void
pfk__errors_off(int fd)
{
	static const struct {
		int level, option;
	} rows[] = {
	    {SOL_SOCKET, SO_TIMESTAMPING},
	    {IPPROTO_IP, IP_RECVERR},
	    {IPPROTO_IPV6, IPV6_RECVERR},
	};
	static const int off = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		setsockopt(fd, rows[i].level, rows[i].option, &off,
		    sizeof(off));
}

unsigned
pfk__errors_drop(int fd)
{
	unsigned n = 0;

	while (n < DROP_MAX) {
		struct msghdr h = {0};

		/* Without room for it, the kernel drops the report. */
		if (recvmsg(fd, &h, MSG_ERRQUEUE | MSG_DONTWAIT) == -1)
			break;
		n++;
	}
	return n;
}
