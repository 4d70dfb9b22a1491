/*
 * listener.c, sockopts.c and holder.c: which sockets may share a port.
 */
#include "net/listener.h"
#include "net/sockopts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"
#include "unit.h"

static struct pfk_sockopts unset;
static const char *step;

static int
option(int fd, int level, int name)
{
	socklen_t len = sizeof(int);
	int value = -1;

	getsockopt(fd, level, name, &value, &len);
	return value;
}

static int
start(enum pfk_kind kind, const struct pfk_addr *addr, enum pfk__group group,
    struct pfk_addr *bound)
{
	step = NULL;
	errno = 0;
	return pfk__listener_open(kind, addr, group, &unset, bound, &step);
}

static bool
holder_is_us(enum pfk_kind kind, const struct pfk_addr *addr)
{
	char buf[128], expected[40];

	snprintf(expected, sizeof(expected), "process %d (", (int)getpid());
	pfk__listener_holder(kind, addr, buf, sizeof(buf));
	if (strncmp(buf, expected, strlen(expected)) == 0)
		return true;
	diag("holder: %s", buf);
	return false;
}

static void
test_group(enum pfk_kind kind, const char *host)
{
	const char *name = pfk__kind_name(kind);
	int before = unit_count_fds(), fds[4];
	struct pfk_addr addr, bound, again;

	pfk_addr_parse(&addr, host, 0);
	fds[0] = start(kind, &addr, PFK__GROUP_FOUND, &bound);
	if (fds[0] == -1 && errno == EADDRNOTAVAIL) {
		skip(12, "no %s here", host);
		return;
	}
	ok(fds[0] != -1 && pfk_addr_port(&bound) != 0, "%s %s: founded", name,
	    host);
	is_int(option(fds[0], SOL_SOCKET, SO_REUSEPORT), 1, "%s: may share",
	    name);
	ok(fcntl(fds[0], F_GETFL) & O_NONBLOCK, "%s: does not block", name);
	ok(fcntl(fds[0], F_GETFD) & FD_CLOEXEC, "%s: ends with exec", name);
	for (int i = 1; i < 4; i++) {
		fds[i] = start(kind, &bound, PFK__GROUP_JOIN, &again);
		ok(fds[i] != -1 && pfk_addr_equal(&bound, &again),
		    "%s: number %d joins", name, i);
	}
	ok(start(kind, &bound, PFK__GROUP_FOUND, &again) == -1 &&
		errno == EADDRINUSE,
	    "%s: another founder may not", name);
	is_str(step, "bind", "%s: at bind(2)", name);
	is_int(unit_count_fds(), before + 4, "%s: and leaves nothing", name);
	ok(holder_is_us(kind, &bound), "%s: we have the port", name);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	fds[0] = start(kind, &bound, PFK__GROUP_FOUND, &again);
	ok(fds[0] != -1, "%s: once all are closed, one may", name);
	close(fds[0]);
}

/* A group of another's is not joined: they have not agreed to it. */
static void
test_stranger(void)
{
	struct pfk_addr bound, again;
	int tcp = unit_listen(&bound), fd;

	ok(start(PFK_TCP, &bound, PFK__GROUP_JOIN, &again) == -1 &&
		errno == EADDRINUSE,
	    "tcp: a stranger's port cannot be joined");
	ok(holder_is_us(PFK_TCP, &bound), "tcp: whose it is");
	close(tcp);
	fd = unit_udp(&bound);
	ok(start(PFK_UDP, &bound, PFK__GROUP_JOIN, &again) == -1 &&
		errno == EADDRINUSE,
	    "udp: nor for UDP");
	close(fd);
}

static void
test_refused(void)
{
	struct pfk_addr addr, bound;
	char buf[128];

	pfk_addr_parse(&addr, "192.0.2.1", 0);
	ok(start(PFK_TCP, &addr, PFK__GROUP_FOUND, &bound) == -1 &&
		errno == EADDRNOTAVAIL,
	    "not an address of ours");
	is_str(step, "bind", "at bind(2)");
	pfk_addr_parse(&addr, "127.0.0.1", 1);
	is_str(pfk__listener_holder(PFK_TCP, &addr, buf, sizeof(buf)),
	    "another process", "nobody has it: nobody is named");
}

static void
test_wildcard(void)
{
	struct pfk_addr addr, bound;
	int fd;

	pfk_addr_parse(&addr, "0.0.0.0", 0);
	fd = start(PFK_UDP, &addr, PFK__GROUP_FOUND, &bound);
	is_int(option(fd, IPPROTO_IP, IP_PKTINFO), 1,
	    "udp: a wildcard hears which address was asked");
	is_int(option(fd, SOL_SOCKET, SO_REUSEADDR), 0,
	    "udp: never SO_REUSEADDR");
	close(fd);
	pfk_addr_parse(&addr, "::", 0);
	fd = start(PFK_UDP, &addr, PFK__GROUP_FOUND, &bound);
	if (fd == -1) {
		skip(2, "no IPv6");
		return;
	}
	is_int(option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO), 1, "IPv6: too");
	is_int(option(fd, IPPROTO_IPV6, IPV6_V6ONLY), 1, "IPv6: alone");
	close(fd);
}

/* A worker has spoilt them; connections would inherit that. */
struct spoilt {
	const char *name;
	int level, option, value;
};

static const struct spoilt of_tcp[] = {
    {"SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT, 65536},
    {"SO_OOBINLINE", SOL_SOCKET, SO_OOBINLINE, 0},
    {"SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR, 0},
    {"SO_TIMESTAMPING", SOL_SOCKET, SO_TIMESTAMPING, 0x12},
    {"SO_TIMESTAMPNS", SOL_SOCKET, SO_TIMESTAMPNS, 1},
    {"TCP_CORK", IPPROTO_TCP, TCP_CORK, 1},
    {"TCP_TX_DELAY", IPPROTO_TCP, 37, 1000000},
    {"TCP_MAXSEG", IPPROTO_TCP, TCP_MAXSEG, 88},
    {"TCP_LINGER2", IPPROTO_TCP, TCP_LINGER2, -1},
    {"IP_TTL", IPPROTO_IP, IP_TTL, 1},
    {"IP_RECVERR", IPPROTO_IP, IP_RECVERR, 1},
};

static const struct spoilt of_udp[] = {
    {"SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR, 1},
    {"UDP_CORK", IPPROTO_UDP, UDP_CORK, 1},
    {"UDP_SEGMENT", IPPROTO_UDP, 103, 4},
    {"UDP_ENCAP", IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP},
    {"IP_PKTINFO", IPPROTO_IP, IP_PKTINFO, 0},
    {"IP_UNICAST_IF", IPPROTO_IP, 50, 0x01000000},
};

static const struct spoilt of_udp6[] = {
    {"UDP_NO_CHECK6_TX", IPPROTO_UDP, UDP_NO_CHECK6_TX, 1},
    {"UDP_NO_CHECK6_RX", IPPROTO_UDP, UDP_NO_CHECK6_RX, 1},
    {"IPV6_RECVPKTINFO", IPPROTO_IPV6, IPV6_RECVPKTINFO, 0},
    {"IPV6_UNICAST_IF", IPPROTO_IPV6, 76, 0x01000000},
    {"IPV6_UNICAST_HOPS", IPPROTO_IPV6, IPV6_UNICAST_HOPS, 1},
    {"IPV6_RECVERR", IPPROTO_IPV6, IPV6_RECVERR, 1},
};

#define ROWS(a) a, sizeof(a) / sizeof((a)[0])

static void
test_spoilt(int fd, const struct spoilt *rows, size_t n)
{
	for (const struct spoilt *r = rows; r < rows + n; r++) {
		int before = option(fd, r->level, r->option);

		if (setsockopt(fd, r->level, r->option, &r->value,
			sizeof(r->value)) == -1) {
			skip(2, "%s: %s", r->name, strerror(errno));
			continue;
		}
		ok(option(fd, r->level, r->option) != before, "%s: set",
		    r->name);
		pfk__listener_reclaim(fd);
		is_int(option(fd, r->level, r->option), before, "%s: as before",
		    r->name);
	}
}

static socklen_t
length(int fd, int level, int name)
{
	char buf[256];
	socklen_t len = sizeof(buf);

	return getsockopt(fd, level, name, buf, &len) == 0 ? len : 0;
}

static void
test_reclaim(void)
{
	struct linger wait = {.l_onoff = 1, .l_linger = 32400}, got;
	socklen_t len = sizeof(got);
	struct pfk_addr addr, bound;
	int fd, on = 1, far = 255, narrow = 1;

	pfk_addr_parse(&addr, "127.0.0.1", 0);
	fd = start(PFK_TCP, &addr, PFK__GROUP_FOUND, &bound);
	test_spoilt(fd, ROWS(of_tcp));
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &wait, sizeof(wait));
	setsockopt(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &narrow, sizeof(narrow));
	setsockopt(fd, IPPROTO_IP, IP_TTL, &far, sizeof(far));
	pfk__listener_reclaim(fd);
	getsockopt(fd, SOL_SOCKET, SO_LINGER, &got, &len);
	is_int(got.l_onoff, 0, "SO_LINGER: off");
	ok(option(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP) >= 65535,
	    "TCP_WINDOW_CLAMP: wide");
	is_int(option(fd, IPPROTO_IP, IP_TTL), far, "a high TTL stays");
	ok(pfk__listener_fault(fd, PFK_TCP) == NULL, "no fault");
	setsockopt(fd, SOL_SOCKET, SO_DONTROUTE, &on, sizeof(on));
	ok(pfk__listener_fault(fd, PFK_TCP) != NULL, "SO_DONTROUTE: a fault");
	close(fd);
}

/* The option has a route by a host of the worker's choice. */
static void
test_reclaim_udp(void)
{
	static const unsigned char source[] = {131, 7, 4, 127, 0, 0, 9, 1};
	unsigned char segment[24] = {0, 2, 4, 0};
	struct pfk_addr addr, bound;
	int fd;

	pfk_addr_parse(&addr, "0.0.0.0", 0);
	fd = start(PFK_UDP, &addr, PFK__GROUP_FOUND, &bound);
	test_spoilt(fd, ROWS(of_udp));
	setsockopt(fd, IPPROTO_IP, IP_OPTIONS, source, sizeof(source));
	pfk__listener_reclaim(fd);
	is_int(length(fd, IPPROTO_IP, IP_OPTIONS), 0, "IP_OPTIONS: none");
	close(fd);
	pfk_addr_parse(&addr, "::", 0);
	fd = start(PFK_UDP, &addr, PFK__GROUP_FOUND, &bound);
	if (fd == -1) {
		skip(13, "no IPv6 here");
		return;
	}
	test_spoilt(fd, ROWS(of_udp6));
	inet_pton(AF_INET6, "fd09::9", segment + 8);
	setsockopt(fd, IPPROTO_IPV6, IPV6_RTHDR, segment, sizeof(segment));
	pfk__listener_reclaim(fd);
	is_int(length(fd, IPPROTO_IPV6, IPV6_RTHDR), 0, "IPV6_RTHDR: none");
	close(fd);
}

/* options */

static char reported[200];

static void
note_report(void *arg, const char *name, int asked, int in_force,
    const char *sysctl)
{
	size_t n = strlen(reported);

	(void)arg;
	snprintf(reported + n, sizeof(reported) - n, "%s %d%s %s;", name, asked,
	    in_force < asked ? "" : "!", sysctl != NULL ? sysctl : "-");
}

static void
test_options(void)
{
	struct pfk_sockopts o = {.backlog = 10,
	    .receive_buffer = 20000,
	    .send_buffer = 30000,
	    .nodelay = 1,
	    .quickack = PFK_UNSET,
	    .keepalive = 1,
	    .keep_idle = 11,
	    .keep_interval = 12,
	    .keep_count = 13,
	    .user_timeout = 1400,
	    .unsent_limit = 70000,
	    .syn_retries = PFK_UNSET,
	    .defer_accept = 2,
	    .fastopen = PFK_UNSET};
	struct pfk_addr addr, bound;
	int fd, client, server;

	pfk_addr_parse(&addr, "127.0.0.1", 0);
	fd = pfk__listener_open(PFK_TCP, &addr, PFK__GROUP_FOUND, &o, &bound,
	    &step);
	pfk__sockopts_report(fd, &o, note_report, NULL);
	is_str(reported, "", "all in force");
	client = unit_connect(&bound);
	is_int(accept(fd, NULL, NULL), -1, "silence is not accepted");
	is_int((int)send(client, "x", 1, 0), 1, "the first byte");
	server = accept(fd, NULL, NULL);
	is_int(option(server, SOL_SOCKET, SO_RCVBUF), 40000, "SO_RCVBUF");
	is_int(option(server, SOL_SOCKET, SO_SNDBUF), 60000, "SO_SNDBUF");
	is_int(option(server, IPPROTO_TCP, TCP_NODELAY), 1, "TCP_NODELAY");
	is_int(option(server, SOL_SOCKET, SO_KEEPALIVE), 1, "SO_KEEPALIVE");
	is_int(option(server, IPPROTO_TCP, TCP_KEEPIDLE), 11, "TCP_KEEPIDLE");
	is_int(option(server, IPPROTO_TCP, TCP_KEEPINTVL), 12, "TCP_KEEPINTVL");
	is_int(option(server, IPPROTO_TCP, TCP_KEEPCNT), 13, "TCP_KEEPCNT");
	is_int(option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 3,
	    "TCP_DEFER_ACCEPT");
	is_int(option(server, IPPROTO_TCP, TCP_USER_TIMEOUT), 1400,
	    "TCP_USER_TIMEOUT");
	is_int(option(server, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 70000,
	    "TCP_NOTSENT_LOWAT");
	close(server);
	close(client);
	o.receive_buffer = o.backlog = 1 << 30;
	is_int(pfk__listener_tune(fd, PFK_TCP, &o, &step), 0, "tuned");
	pfk__sockopts_report(fd, &o, note_report, NULL);
	is_str(reported,
	    "receive-buffer 1073741824 net.core.rmem_max;"
	    "backlog 1073741824 net.core.somaxconn;",
	    "a value that the kernel holds down is reported");
	close(fd);
}

/* We have one address of a port, and the holder of another one is found. */
static void
has(enum pfk_kind kind, const char *host, uint16_t port, bool us)
{
	struct pfk_addr addr;
	char buf[128];

	pfk_addr_parse(&addr, host, port);
	if (us)
		ok(holder_is_us(kind, &addr), "%s is in our way", host);
	else
		is_str(pfk__listener_holder(kind, &addr, buf, sizeof(buf)),
		    "another process", "%s is not", host);
}

static void
test_holder(void)
{
	struct pfk_addr bound = {.len = sizeof(bound.in6)};
	int fd = unit_listen(&bound), no = 0;
	uint16_t port = pfk_addr_port(&bound);

	has(PFK_TCP, "127.0.0.1", port, true);
	has(PFK_TCP, "0.0.0.0", port, true);
	has(PFK_TCP, "127.0.0.2", port, false);
	has(PFK_TCP, "::1", port, false);
	has(PFK_UDP, "127.0.0.1", port, false);
	close(fd);
	pfk_addr_parse(&bound, "::", 0);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
	if (fd == -1 || bind(fd, &bound.sa, bound.len) == -1 ||
	    listen(fd, 1) == -1 ||
	    getsockname(fd, &bound.sa, &bound.len) == -1) {
		skip(3, "no IPv6 here");
	} else {
		port = pfk_addr_port(&bound);
		has(PFK_TCP, "::1", port, true);
		has(PFK_TCP, "127.0.0.1", port, true);
		has(PFK_UDP, "::1", port, false);
	}
	if (fd != -1)
		close(fd);
}

int
main(void)
{
	static const enum pfk_kind kinds[] = {PFK_TCP, PFK_UDP};

	pfk_sockopts_init(&unset);
	for (int i = 0; i < 2; i++) {
		test_group(kinds[i], "127.0.0.1");
		test_group(kinds[i], "::1");
		test_group(kinds[i], "0.0.0.0");
	}
	test_stranger();
	test_refused();
	test_wildcard();
	test_reclaim();
	test_reclaim_udp();
	test_holder();
	test_options();
	return done_testing();
}
