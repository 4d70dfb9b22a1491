/*
 * counts.c: the numbers of bytes that the kernel has given and taken on a TCP
 * connection.
 *
 * Layer: transport.  tcp(7), struct tcp_info in <linux/tcp.h>, which has more
 * than the C library's.
 */
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#include "transport/tcp.h"

/* Names of <netinet/tcp.h>, which cannot be included beside <linux/tcp.h>. */
enum {
	FIN_WAIT1 = 4,
	FIN_WAIT2 = 5,
	TIME_WAIT = 6,
	CLOSE_WAIT = 8,
	LAST_ACK = 9,
	CLOSING = 11
};

/* Whether a FIN is among the bytes that we have received. */
static bool
fin_received(int state)
{
	return state == CLOSE_WAIT || state == LAST_ACK || state == CLOSING ||
	    state == TIME_WAIT;
}

/* Whether ours is among those that we have written. */
static bool
fin_sent(int state)
{
	return state == FIN_WAIT1 || state == FIN_WAIT2 || state == CLOSING ||
	    state == LAST_ACK || state == TIME_WAIT;
}

/*
 * Whether no segment came between the two calls, so that their answers are of
 * one moment.
 */
static bool
is_of_one_moment(const struct tcp_info *a, const struct tcp_info *b)
{
	return a->tcpi_bytes_received == b->tcpi_bytes_received &&
	    a->tcpi_bytes_acked == b->tcpi_bytes_acked &&
	    a->tcpi_state == b->tcpi_state;
}

/*
 * Nobody reads or writes meanwhile: a queue to send that is empty at first stays
 * empty, and one to receive that is empty at last was empty all the time.  So
 * one answer is enough then.
 */
static int
look_at_idle(int fd, struct tcp_info *info, int *in, int *out)
{
	socklen_t len = sizeof(*info);

	if (ioctl(fd, SIOCOUTQ, out) == -1 ||
	    getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len) == -1 ||
	    ioctl(fd, SIOCINQ, in) == -1)
		return -1;
	return *in == 0 && *out == 0;
}

/* It ends: the peer fills a buffer that nobody empties. */
static int
look_at_busy(int fd, struct tcp_info *info, int *in, int *out)
{
	struct tcp_info after = *info;
	socklen_t len = sizeof(after);

	do {
		*info = after;
		if (ioctl(fd, SIOCINQ, in) == -1 ||
		    ioctl(fd, SIOCOUTQ, out) == -1 ||
		    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &after, &len) == -1)
			return -1;
	} while (!is_of_one_moment(info, &after));
	return 0;
}

int
pfk__tcp_counts(int fd, uint64_t *received, uint64_t *sent)
{
	struct tcp_info info = {0};
	int in = 0, out = 0, idle = look_at_idle(fd, &info, &in, &out);

	if (idle == -1 ||
	    (idle == 0 && look_at_busy(fd, &info, &in, &out) == -1))
		return -1;
	*received = info.tcpi_bytes_received - (uint64_t)in -
	    fin_received(info.tcpi_state);
	*sent = info.tcpi_bytes_acked + (uint64_t)out -
	    fin_sent(info.tcpi_state);
	return 0;
}
