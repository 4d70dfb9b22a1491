/*
 * attacks_sockets.c: descriptors that a hostile worker sends, and its sockets.
 */
#include "attacks.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "linger.h"
#include "process/worker.h"
#include "unit.h"

/* descriptors */

static void
hand(const int *fds, size_t n)
{
	struct pfk__message m = attack_message(PFK__MSG_KEPT);

	linger_send(attacker.worker->channel, &m, sizeof(m), fds, n);
}

static void
pass_lingering(void)
{
	int fd = linger_socket();

	for (int i = 0; i < 5; i++)
		hand(&fd, 1);
	fcntl(fd, F_SETFD, 0);
}

static void
pass_many(void)
{
	int fds[253];

	for (size_t i = 0; i < 253; i++)
		fds[i] = attacker.listener;
	hand(fds, 253);
}

static void
pass_queue(void)
{
	int fd = linger_socket(), inner[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, inner) == -1)
		return;
	linger_send(inner[0], "x", 1, &fd, 1);
	hand(&inner[1], 1);
}

static void
pass_others(void)
{
	int fds[] = {STDERR_FILENO, open("/dev/zero", O_RDONLY),
	    open("/", O_PATH)};

	for (size_t i = 0; i < 3; i++)
		hand(&fds[i], 1);
}

/* sockets */

static void
clear_nonblock(void)
{
	int off = 0;

	fcntl(attacker.listener, F_SETFL, 0);
	ioctl(attacker.listener, FIONBIO, &off);
	fcntl(attacker.worker->channel, F_SETFL, 0);
}

/* The program accepts no byte of any packet. */
static void
attach(bool lock)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog prog = {.len = 1, .filter = &none};
	int on = 1;

	setsockopt(attacker.listener, SOL_SOCKET, SO_ATTACH_FILTER, &prog,
	    sizeof(prog));
	if (lock)
		setsockopt(attacker.listener, SOL_SOCKET, SO_LOCK_FILTER, &on,
		    sizeof(on));
}

static void
attach_filter(void)
{
	attach(false);
}

static void
lock_filter(void)
{
	attach(true);
}

/* All clients of the group come here from now on. */
static void
steer_all(void)
{
	struct sock_filter me = BPF_STMT(BPF_RET | BPF_K, HOSTILE_SLOT);
	struct sock_fprog prog = {.len = 1, .filter = &me};

	setsockopt(attacker.listener, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF,
	    &prog, sizeof(prog));
	pfk_server_close(attacker.server);
}

static void
leave_group(void)
{
	int off = 0;

	setsockopt(attacker.listener, SOL_SOCKET, SO_REUSEPORT, &off,
	    sizeof(off));
}

static void
bind_device(void)
{
	setsockopt(attacker.listener, SOL_SOCKET, SO_BINDTODEVICE, "nosuch", 7);
	setsockopt(attacker.listener, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
}

/* Connections inherit them: no byte is read, no answer leaves. */
static void
starve(void)
{
	int many = 1 << 16, on = 1;

	setsockopt(attacker.listener, SOL_SOCKET, SO_RCVLOWAT, &many,
	    sizeof(many));
	setsockopt(attacker.listener, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
	setsockopt(attacker.listener, IPPROTO_IP, IP_TTL, &on, sizeof(on));
}

/* The kernel queues a report for each send of a connection: nobody reads it. */
static void
ask_reports(void)
{
	int flags = 0x212, on = 1;

	setsockopt(attacker.listener, SOL_SOCKET, SO_TIMESTAMPING, &flags,
	    sizeof(flags));
	setsockopt(attacker.listener, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
}

/* Connections wait at their end, lose urgent bytes, and are slow. */
static void
spoil_connections(void)
{
	struct linger wait = {.l_onoff = 1, .l_linger = 32400};
	int off = 0, one = 1, never = -1, small = 88;

	setsockopt(attacker.listener, SOL_SOCKET, SO_LINGER, &wait,
	    sizeof(wait));
	setsockopt(attacker.listener, SOL_SOCKET, SO_OOBINLINE, &off,
	    sizeof(off));
	setsockopt(attacker.listener, IPPROTO_TCP, TCP_LINGER2, &never,
	    sizeof(never));
	setsockopt(attacker.listener, IPPROTO_TCP, TCP_MAXSEG, &small,
	    sizeof(small));
	setsockopt(attacker.listener, IPPROTO_TCP, TCP_WINDOW_CLAMP, &one,
	    sizeof(one));
}

static void
bypass_routes(void)
{
	int on = 1;

	setsockopt(attacker.listener, SOL_SOCKET, SO_DONTROUTE, &on,
	    sizeof(on));
}

static void
shut_down(void)
{
	shutdown(attacker.listener, SHUT_RDWR);
}

static void
make_connection(void)
{
	struct linger l = {.l_onoff = 1, .l_linger = 32400};
	struct pfk_addr to;
	int other = unit_listen(&to);

	shutdown(attacker.listener, SHUT_RDWR);
	fcntl(attacker.listener, F_SETFL, 0);
	if (connect(attacker.listener, &to.sa, to.len) == -1)
		return;
	setsockopt(attacker.listener, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	send(attacker.listener, "x", 1, MSG_NOSIGNAL);
	fcntl(other, F_SETFD, 0);
}

const struct attack socket_attacks[] = {
    {"descriptors that linger", pass_lingering},
    {"many descriptors", pass_many},
    {"a queue with such a descriptor", pass_queue},
    {"descriptors of other kinds", pass_others},
    {"O_NONBLOCK cleared", clear_nonblock},
    {"a filter", attach_filter},
    {"a filter that is locked", lock_filter},
    {"a program that steers", steer_all},
    {"SO_REUSEPORT cleared", leave_group},
    {"a listener bound to a device", bind_device},
    {"options that starve clients", starve},
    {"reports that nobody reads", ask_reports},
    {"options that spoil connections", spoil_connections},
    {"a listener that sends past the routes", bypass_routes},
    {"a listener shut down", shut_down},
    {"a listener made a connection", make_connection},
    {NULL, NULL},
};
