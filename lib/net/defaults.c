/*
 * defaults.c: restore the options of a listener that another process may have spoilt.
 *
 * Layer: net.  socket(7), ip(7), ipv6(7), tcp(7), udp(7).  Each option is read first,
 * because some have a lasting effect even where the value stays the same.  All of them
 * are in the sandbox's list, but for SO_REUSEADDR: a worker restores the listeners that it
 * adopts.
 */
#include "net/defaults.h"

#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include "net/addr.h"
#include "net/errors.h"

#ifndef TCP_TX_DELAY
#define TCP_TX_DELAY 37
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef IP_UNICAST_IF
#define IP_UNICAST_IF 50
#endif
#ifndef IPV6_UNICAST_IF
#define IPV6_UNICAST_IF 76
#endif

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

/* Of the TCP header, without its scale: the largest, and with the largest scale. */
#define WINDOW_MAX 65535
#define WINDOW_SCALED (WINDOW_MAX << 14)

struct row {
	int level, option, usual;
};

static const struct row exact[] = {
    /* bytes that wait, for more of them or for a time */
    {SOL_SOCKET, SO_RCVLOWAT, 1},
    {IPPROTO_TCP, TCP_CORK, 0},
    {IPPROTO_TCP, TCP_TX_DELAY, 0},
    {IPPROTO_UDP, UDP_CORK, 0},
    /* datagrams that are cut, taken for others, or refused by the client */
    {IPPROTO_UDP, UDP_SEGMENT, 0},
    {IPPROTO_UDP, UDP_ENCAP, 0},
    {IPPROTO_UDP, UDP_NO_CHECK6_TX, 0},
    {IPPROTO_UDP, UDP_NO_CHECK6_RX, 0},
    /* answers that leave by an interface where the client is not */
    {IPPROTO_IP, IP_UNICAST_IF, 0},
    {IPPROTO_IPV6, IPV6_UNICAST_IF, 0},
    /* ancillary data that nobody reads */
    {SOL_SOCKET, SO_TIMESTAMP, 0},
    {SOL_SOCKET, SO_TIMESTAMPNS, 0},
};

/* Less than `least` is of no use to any program. */
static const struct {
	struct row row;
	int least;
} low[] = {
    /* Most clients are farther away. */
    {{IPPROTO_IP, IP_TTL, -1}, 32},
    {{IPPROTO_IPV6, IPV6_UNICAST_HOPS, -1}, 32},
    /* RFC 1122's default */
    {{IPPROTO_TCP, TCP_MAXSEG, 0}, 536},
    {{IPPROTO_TCP, TCP_WINDOW_CLAMP, WINDOW_SCALED}, WINDOW_MAX},
    /* The negative value resets a client that has not closed yet. */
    {{IPPROTO_TCP, TCP_LINGER2, 0}, 0},
};

static bool
read_int(int fd, int level, int option, int *value)
{
	socklen_t len = sizeof(*value);

	return getsockopt(fd, level, option, value, &len) == 0;
}

static void
write_int(int fd, const struct row *r)
{
	setsockopt(fd, r->level, r->option, &r->usual, sizeof(r->usual));
}

/* Headers of IP with which a datagram goes elsewhere first, and an interface. */
static void
clear_headers(int fd)
{
	static const struct in6_pktinfo none;

	setsockopt(fd, IPPROTO_IP, IP_OPTIONS, "", 0);
	/* All of them at once, those of root, too. */
	setsockopt(fd, IPPROTO_IPV6, IPV6_2292PKTOPTIONS, "", 0);
	setsockopt(fd, IPPROTO_IPV6, IPV6_PKTINFO, &none, sizeof(none));
}

/* As listener.c sets them on a new one. */
static void
restore_own(int fd)
{
	struct pfk_addr name = {.len = sizeof(name.in6)};
	int type = 0, shares, value, on = 1;

	read_int(fd, SOL_SOCKET, SO_TYPE, &type);
	shares = type == SOCK_STREAM;
	/* In the sandbox nobody can have changed it, or can set it. */
	if (read_int(fd, SOL_SOCKET, SO_REUSEADDR, &value) && value != shares)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &shares,
		    sizeof(shares));
	if (type == SOCK_STREAM) {
		setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
		return;
	}
	if (getsockname(fd, &name.sa, &name.len) == -1 ||
	    !pfk__addr_is_any(&name))
		return;
	if (name.sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	else
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
}

/* A connection would be reset by its close, or the close would wait. */
static void
clear_linger(int fd)
{
	static const struct linger off;

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
}

void
pfk__defaults_restore(int fd)
{
	int value;

	for (size_t i = 0; i < LENGTH(exact); i++) {
		const struct row *r = &exact[i];

		if (read_int(fd, r->level, r->option, &value) &&
		    value != r->usual)
			write_int(fd, r);
	}
	for (size_t i = 0; i < LENGTH(low); i++) {
		const struct row *r = &low[i].row;

		if (read_int(fd, r->level, r->option, &value) &&
		    value < low[i].least)
			write_int(fd, r);
	}
	clear_headers(fd);
	clear_linger(fd);
	restore_own(fd);
	pfk__errors_off(fd);
	pfk__errors_drop(fd);
}
