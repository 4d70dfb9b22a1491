/*
 * unit-refused.c: the kernel has no room for one more epoll(7) watch: each
 * descriptor is watched again later, and no loop spins. epoll_ctl(2) passes
 * through here.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "event/io.h"
#include "event/loop.h"
#include "record.h"
#include "tap.h"
#include "unit.h"

static int refusal; /* errno, or 0 */
static int tries;

int
epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	if (op == EPOLL_CTL_ADD && refusal != 0 && fd != epfd) {
		tries++;
		errno = refusal;
		return -1;
	}
	return (int)syscall(SYS_epoll_ctl, epfd, op, fd, event);
}

/* the log */

static int log_fd, stderr_fd;

static void
catch_log(void)
{
	log_fd = memfd_create("log", MFD_CLOEXEC);
	stderr_fd = dup(STDERR_FILENO);
	if (log_fd == -1 || stderr_fd == -1 ||
	    dup2(log_fd, STDERR_FILENO) == -1)
		err(1, "log");
}

/* How often the text has been logged since the last call of catch_log. */
static int
count_log(const char *text)
{
	char buf[4096] = "";
	int n = 0;

	if (pread(log_fd, buf, sizeof(buf) - 1, 0) == -1)
		err(1, "log");
	for (char *p = buf; (p = strstr(p, text)) != NULL; p++)
		n++;
	return n;
}

static void
release_log(void)
{
	dup2(stderr_fd, STDERR_FILENO);
	close(stderr_fd);
	close(log_fd);
}

/* cases */

static struct pfk_loop *loop;
static int signals, datagrams, connected;

static void
on_signal(void *arg, int signo)
{
	(void)arg;
	(void)signo;
	signals++;
}

static void
on_datagram(void *self, const struct pfk_packet *p)
{
	(void)self;
	(void)p;
	datagrams++;
}

static void *
on_connected(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	connected++;
	return tr;
}

static void
on_failed(void *arg, int error, const char *causes)
{
	(void)arg;
	(void)error;
	fail("connect: %s", causes);
}

/* Some rounds, none of which is well; then all is. */
static void
refuse_for_a_while(int error)
{
	uint64_t start_ns = pfk_loop_now(loop);
	uint64_t rounds;
	int allowed;

	refusal = error;
	tries = 0;
	unit_run_until(loop, &tries, 12);
	/* Six descriptors at most, every 100 ms. */
	rounds = (pfk_loop_now(loop) - start_ns) / (100 * PFK_MSEC_NS) + 1;
	allowed = 6 * (int)rounds;
	ok(tries >= 12 && tries <= allowed, "%d tries of %d allowed", tries,
	    allowed);
	refusal = 0;
}

static const struct pfk_protocol client = {.connection_made = on_connected};
static const struct pfk_datagram_protocol datagram = {
    .datagram_received = on_datagram,
};

static void
test_all(int error)
{
	struct recorder rec;
	struct pfk_addr addr, udp_addr, own;
	struct pfk_server *server;
	struct pfk_datagram *d;
	struct pfk_signal *s;
	struct pfk_connect_options o = {.host = "localhost", .family = AF_INET};
	int udp = unit_udp(&own), peer, fd;
	char text[8] = "";

	signals = datagrams = connected = 0;
	catch_log();
	loop = pfk_loop_new("epoll");
	recorder_init(&rec);
	rec.echo = true;
	server = pfk_serve(loop, unit_listen(&addr), &rec.protocol, &rec, NULL);
	fd = unit_udp(&udp_addr);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	d = pfk_datagram_open(loop, fd, &datagram, NULL);
	s = pfk_signal_add(loop, SIGUSR1, on_signal, NULL);
	o.port = pfk_addr_port(&addr);
	pfk_connect(loop, &o, &client, NULL, on_failed);
	peer = unit_connect(&addr);
	unit_write(peer, "abc", 3);
	sendto(udp, "x", 1, 0, &udp_addr.sa, udp_addr.len);
	raise(SIGUSR1);
	refuse_for_a_while(error);
	ok(unit_run_until(loop, &signals, 1), "%s: a signal is heard",
	    strerror(error));
	ok(unit_run_until(loop, &datagrams, 1), "a datagram is read");
	ok(unit_run_until(loop, &rec.calls[RECORD_DATA], 1),
	    "a connection is accepted and read");
	is_int(unit_read(peer, text, 3), 3, "it gets its answer");
	ok(unit_run_until(loop, &connected, 1), "a name is looked up");
	is_int(count_log("cannot watch a descriptor"), 1, "told once");
	is_int(count_log("trying again"), 1, "with the retry");
	is_int(count_log("max_user_watches"), error == ENOSPC,
	    "and the cure, where there is one");
	is_int(count_log("watched again"), 1, "and that it is over");
	release_log();
	pfk_signal_cancel(&s);
	pfk_datagram_close(&d);
	pfk_server_close(&server);
	pfk_loop_drain(loop, PFK_DRAIN_NOW);
	is_int(pfk_loop_run(loop), 0, "the loop ends");
	pfk_loop_free(loop);
	close(peer);
	close(udp);
}

/* Accepted, and then it cannot be watched. */
static void
test_connection(void)
{
	struct recorder rec;
	struct pfk_addr addr;
	struct pfk_server *server;
	int peer;
	char text[8] = "";

	catch_log();
	loop = pfk_loop_new("epoll");
	recorder_init(&rec);
	rec.echo = true;
	server = pfk_serve(loop, unit_listen(&addr), &rec.protocol, &rec, NULL);
	unit_settle(loop);
	peer = unit_connect(&addr);
	refuse_for_a_while(ENOSPC);
	is_int(rec.calls[RECORD_MADE], 1, "a connection is accepted");
	unit_write(peer, "abc", 3);
	unit_run_until(loop, &rec.calls[RECORD_DATA], 1);
	is_int(unit_read(peer, text, 3), 3, "and served later");
	release_log();
	close(peer);
	ok(unit_run_until(loop, &rec.calls[RECORD_LOST], 1), "up to its end");
	pfk_server_close(&server);
	pfk_loop_run(loop);
	pfk_loop_free(loop);
}

static void
nothing(void *arg, unsigned ready)
{
	(void)arg;
	(void)ready;
}

static void
test_start(void)
{
	const char *cause = "";
	int fds[2];
	struct pfk_io *io;

	unit_pair(fds);
	loop = pfk_loop_new("epoll");
	is_int(pfk__io_arm_first(loop, &cause), 0, "nothing to watch");
	io = pfk_io_add(loop, fds[0], PFK_READ, nothing, NULL);
	refusal = ENOSPC;
	is_int(pfk__io_arm_first(loop, &cause), -1, "refused at the start");
	is_str(cause,
	    "No space left on device; raise fs.epoll.max_user_watches",
	    "why, and the cure");
	refusal = 0;
	pfk_io_cancel(&io);
	pfk_loop_free(loop);
	close(fds[0]);
	close(fds[1]);
}

int
main(void)
{
	test_all(ENOSPC);
	test_all(ENOMEM);
	test_connection();
	test_start();
	return done_testing();
}
