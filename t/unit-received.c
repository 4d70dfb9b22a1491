/*
 * received.c: descriptors of an attacker are closed without a wait, wherever
 * they are: in a message, in a socket's queue, or in the queue of a socket that
 * is in a queue.
 */
#include "base/received.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "linger.h"
#include "tap.h"
#include "unit.h"

/* A wait is one of nine hours: then the test is killed. */
#define PATIENCE_S 60

/* Queues in each other. */
#define DEEP 2000

static int fds[2];
static int before;
static int refused; /* the error of recvmsg; 0: it works */

/* For the library. */
ssize_t
recvmsg(int fd, struct msghdr *message, int flags)
{
	errno = refused;
	return refused != 0 ? -1 : syscall(SYS_recvmsg, fd, message, flags);
}

/* A pair of sockets of the type; fds[0] is the attacker's end. */
static void
begin(int type)
{
	/* The peer of each lingering connection stays open. */
	before = unit_count_fds();
	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) == -1)
		skip_all("no socket pair");
	alarm(PATIENCE_S);
}

static void
end(const char *name, int left)
{
	if (fds[0] != -1)
		close(fds[0]);
	is_int(unit_count_fds(), before + left, "%s: nothing else is open",
	    name);
	alarm(0);
}

static void
test_in_message(void)
{
	struct pfk__parcel p;
	char buf[8];
	int fd;

	begin(SOCK_SEQPACKET);
	fd = linger_socket();
	linger_send(fds[0], "abc", 3, &fd, 1);
	close(fd);
	is_int(pfk__receive(fds[1], buf, sizeof(buf), &p), 3, "a message");
	ok(p.n == 1 && p.fds[0] != -1 && p.fds[1] == -1 && !p.is_end &&
		!p.no_room && !p.too_long,
	    "has one descriptor");
	pfk__parcel_close(&p);
	is_int(p.fds[0], -1, "which is closed at once");
	close(fds[1]);
	end("in a message", 1);
}

/* The kernel would close those beyond the room for them. */
static void
test_too_many(void)
{
	struct pfk__parcel p;
	int many[253];
	char buf[2];

	begin(SOCK_SEQPACKET);
	for (size_t i = 0; i < 253; i++)
		many[i] = STDERR_FILENO;
	many[200] = linger_socket();
	linger_send(fds[0], "abc", 3, many, 253);
	close(many[200]);
	is_int(pfk__receive(fds[1], buf, sizeof(buf), &p), 2, "253 of them");
	ok(p.n == 253 && p.fds[0] != -1 && p.fds[1] != -1, "are counted");
	ok(p.too_long && !p.no_room, "the message was cut");
	pfk__parcel_close(&p);
	close(fds[1]);
	end("too many", 1);
}

static void
test_ends(void)
{
	struct pfk__parcel p;
	char buf[8];

	begin(SOCK_SEQPACKET);
	errno = 0;
	ok(pfk__receive(fds[1], buf, sizeof(buf), &p) == -1 && errno == EAGAIN,
	    "blocking, but it does not wait");
	linger_send(fds[0], "", 0, (int[]){STDERR_FILENO}, 1);
	is_int(pfk__receive(fds[1], buf, sizeof(buf), &p), 0, "no bytes");
	ok(!p.is_end && p.n == 1, "and a descriptor: not the end");
	pfk__parcel_close(&p);
	close(fds[0]);
	fds[0] = -1;
	is_int(pfk__receive(fds[1], buf, sizeof(buf), &p), 0, "closed");
	ok(p.is_end, "the end");
	close(fds[1]);
	end("ends", 0);
}

/* Messages of no bytes do not look like the end. */
static void
test_in_queue(int type, const char *name)
{
	int fd;

	begin(type);
	fd = linger_socket();
	linger_send(fds[0], "", type != SOCK_STREAM ? 0 : 1, NULL, 0);
	linger_send(fds[0], "x", 1, &fd, 1);
	linger_send(fds[0], "", type != SOCK_STREAM ? 0 : 1, NULL, 0);
	linger_send(fds[0], "x", 1, &fd, 1);
	close(fd);
	pfk__close_emptied(fds[1]);
	errno = 0;
	ok(linger_send(fds[0], "x", 1, NULL, 0) == -1,
	    "%s: nothing more can be sent", name);
	end(name, 1);
}

static void
test_nested(void)
{
	int inner[2], fd;

	begin(SOCK_STREAM);
	socketpair(AF_UNIX, SOCK_DGRAM, 0, inner);
	fd = linger_socket();
	linger_send(inner[0], "x", 1, &fd, 1);
	linger_send(fds[0], "x", 1, &inner[1], 1);
	close(fd);
	close(inner[0]);
	close(inner[1]);
	pfk__close_emptied(fds[1]);
	end("in a queue in a queue", 1);
}

/*
 * Linux has no bound of that since 6.10.  Where it has one, or where the user may
 * have only RLIMIT_NOFILE descriptors in queues, the outermost queue that could be
 * filled is emptied.  Each message has `others` descriptors before the next
 * queue: more than are expected.
 */
static void
test_nested_deeply(size_t others)
{
	int inner[2], all[4] = {STDERR_FILENO, STDERR_FILENO, STDERR_FILENO};
	int depth = 0, sent = 0;

	begin(SOCK_STREAM);
	all[others] = linger_socket();
	for (; depth < DEEP && sent != -1; depth++) {
		socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, inner);
		sent = linger_send(inner[0], "x", 1, all, others + 1);
		close(inner[0]);
		if (sent == -1)
			pfk__close_received(all[others]);
		else
			close(all[others]);
		all[others] = inner[1];
	}
	linger_send(fds[0], "x", 1, all, others + 1);
	close(all[others]);
	pfk__close_emptied(fds[1]);
	end("in many queues", 1);
}

/* A connection that nobody has accepted has a queue as well. */
static void
test_listener(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(sun);
	int listener, peer, fd;

	begin(SOCK_STREAM);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	peer = socket(AF_UNIX, SOCK_STREAM, 0);
	/* The kernel chooses an abstract name. */
	is_int(bind(listener, (struct sockaddr *)&sun, sizeof(sun.sun_family)),
	    0, "bound");
	listen(listener, 1);
	getsockname(listener, (struct sockaddr *)&sun, &len);
	is_int(connect(peer, (struct sockaddr *)&sun, len), 0, "connected");
	fd = linger_socket();
	linger_send(peer, "x", 1, &fd, 1);
	linger_send(fds[0], "x", 1, &listener, 1);
	close(fd);
	close(listener);
	pfk__close_emptied(fds[1]);
	close(peer);
	end("in a listener's queue", 1);
}

static void
test_others(void)
{
	int null = open("/dev/null", O_RDONLY);
	struct linger l = {.l_onoff = 1, .l_linger = 0}, got = {0};
	socklen_t len = sizeof(got);
	struct pfk_addr to;
	int fd = unit_listen(&to);

	pfk__close_received(null);
	ok(fcntl(null, F_GETFD) == -1, "no socket: it is closed");
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	pfk__never_linger(fd);
	getsockopt(fd, SOL_SOCKET, SO_LINGER, &got, &len);
	ok(got.l_onoff != 0 && got.l_linger == 0, "a reset stays a reset");
	close(fd);
}

static void
test_none(void)
{
	int fd = STDERR_FILENO;

	begin(SOCK_SEQPACKET);
	pfk__receive_none(fds[1]);
	is_int(linger_send(fds[0], "x", 1, NULL, 0), 1, "a message goes");
	if (linger_send(fds[0], "x", 1, &fd, 1) == 1)
		skip(1, "this kernel is older than 6.16");
	else
		is_int(errno, EPERM, "but with a descriptor it is refused");
	close(fds[1]);
	end("none", 0);
}

/* The message is not lost, and so it is no end and no garbage. */
static void
test_no_memory(void)
{
	static const int errors[] = {ENOMEM, ENOBUFS};
	struct pfk__parcel p;
	char byte = 'a';

	for (int i = 0; i < 2; i++) {
		begin(SOCK_SEQPACKET);
		is_int(send(fds[0], &byte, 1, 0), 1, "a message");
		refused = errors[i];
		is_int(pfk__receive(fds[1], &byte, 1, &p), -1, "no memory");
		is_int(errno, EAGAIN, "no memory: later");
		refused = 0;
		is_int(pfk__receive(fds[1], &byte, 1, &p), 1, "then it comes");
		close(fds[1]);
		end("no memory", 0);
	}
}

int
main(void)
{
	test_in_message();
	test_no_memory();
	test_too_many();
	test_ends();
	test_in_queue(SOCK_SEQPACKET, "in a queue of packets");
	test_in_queue(SOCK_DGRAM, "in a queue of datagrams");
	test_in_queue(SOCK_STREAM, "in a stream");
	test_nested();
	test_nested_deeply(0);
	test_nested_deeply(3);
	test_listener();
	test_others();
	test_none();
	return done_testing();
}
