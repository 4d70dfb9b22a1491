/*
 * errors.c: reports in the error queue of a socket, for which another process has
 * asked, neither keep the loop awake nor stay. Every case runs on each back-end.
 */
#include "net/errors.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "record.h"
#include "tap.h"
#include "transport/tcp.h"
#include "transport/udp.h"
#include "unit.h"

/* Of SO_TIMESTAMPING: a report for each send, by the software. */
#define REPORT_SENDS 0x12
#define MESSAGES 200 /* more than are dropped at once */

static const char *backend;
static struct pfk_loop *loop;

static void
ask(int fd)
{
	int flags = REPORT_SENDS;

	if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags,
		sizeof(flags)) == -1)
		skip_all("no SO_TIMESTAMPING: %s", strerror(errno));
}

static int
asked(int fd)
{
	socklen_t len = sizeof(int);
	int flags = -1;

	getsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, &len);
	return flags;
}

static bool
has_report(int fd)
{
	struct pollfd p = {.fd = fd};

	return poll(&p, 1, 0) == 1 && (p.revents & POLLERR) != 0;
}

/* In a loop that does not find it each of these timers costs many turns. */
static void
settled(int fd, const char *name)
{
	uint64_t before;

	unit_settle(loop);
	ok(!has_report(fd), "%s: %s: no report waits", backend, name);
	before = loop->turns;
	unit_settle(loop);
	ok(loop->turns - before < 40, "%s: %s: the loop sleeps", backend, name);
}

/* the functions */

static void
test_functions(void)
{
	struct pfk_addr addr;
	int from = unit_listen(&addr), to = unit_connect(&addr);
	int fd = accept(from, NULL, NULL), on = 1;
	char byte = 'x';

	is_int(pfk__errors_drop(fd), 0, "an empty queue");
	ask(fd);
	setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
	for (int i = 0; i < 3; i++)
		unit_write(fd, &byte, 1);
	is_int(pfk__errors_drop(fd), 3, "three reports");
	ok(!has_report(fd), "none is left");
	pfk__errors_off(fd);
	is_int(asked(fd), 0, "no reports from now on");
	unit_write(fd, &byte, 1);
	ok(!has_report(fd), "there is none");
	is_int(pfk__errors_drop(STDERR_FILENO), 0, "no socket");
	close(fd);
	close(to);
	close(from);
}

/* a connection */

static struct pfk_server *server;
static struct recorder rec;
static int client;

static void
begin(void)
{
	struct pfk_addr addr;
	int listener;

	loop = pfk_loop_new(backend);
	recorder_init(&rec);
	rec.echo = true;
	listener = unit_listen(&addr);
	/* The connection inherits it. */
	ask(listener);
	server = pfk_serve(loop, listener, &rec.protocol, &rec, NULL);
	client = unit_connect(&addr);
	unit_run_until(loop, &rec.calls[RECORD_MADE], 1);
}

static void
end(void)
{
	close(client);
	unit_run_until(loop, &rec.calls[RECORD_LOST], 1);
	pfk_server_close(&server);
	pfk_loop_run(loop);
	pfk_loop_free(loop);
}

static void
exchange(int n)
{
	char back;

	for (int i = 1; i <= n; i++) {
		unit_write(client, "x", 1);
		if (!unit_run_until(loop, &rec.calls[RECORD_DATA], i) ||
		    unit_read(client, &back, 1) != 1) {
			fail("%s: message %d has its echo", backend, i);
			return;
		}
	}
	pass("%s: %d messages have their echoes", backend, n);
}

static void
test_connection(void)
{
	int fd;

	begin();
	fd = rec.conns[0].tr->io.fd;
	is_int(asked(fd), REPORT_SENDS, "%s: it inherits the option", backend);
	exchange(MESSAGES);
	settled(fd, "a connection");
	is_int(asked(fd), 0, "%s: the option is off", backend);
	is_int(rec.calls[RECORD_LOST], 0, "%s: it goes on", backend);
	end();
}

/* The peer does not read: the loop wants to write, and nothing else. */
static void
write_much(struct record *r)
{
	pfk_pause_reading(r->tr);
	record_write(r->tr, 8u << 20);
}

static void
test_blocked(void)
{
	begin();
	rec.at[RECORD_DATA] = write_much;
	rec.echo = false;
	unit_write(client, "x", 1);
	unit_run_until(loop, &rec.calls[RECORD_PAUSE], 1);
	settled(rec.conns[0].tr->io.fd, "a connection that waits to write");
	end();
}

/* An error of the connection is not lost among the reports. */
static void
test_reset(void)
{
	struct linger now = {.l_onoff = 1};

	begin();
	unit_write(client, "x", 1);
	unit_run_until(loop, &rec.calls[RECORD_DATA], 1);
	setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(client);
	client = -1;
	unit_run_until(loop, &rec.calls[RECORD_LOST], 1);
	is_int(rec.conns[0].error, ECONNRESET, "%s: a reset is seen", backend);
	end();
}

/* datagrams */

static struct pfk_datagram *endpoint;
static int datagrams, errors;
static ssize_t looked;
static bool look;

static void
datagram_received(void *self, const struct pfk_packet *p)
{
	(void)self;
	datagrams++;
	pfk_sendto(endpoint, p->buf, p->len, p->from, p->to);
}

static void
error_received(void *self, int error)
{
	char buf[64];

	(void)self;
	(void)error;
	errors++;
	if (look)
		looked = recv(endpoint->io.fd, buf, sizeof(buf),
		    MSG_ERRQUEUE | MSG_DONTWAIT);
}

static const struct pfk_datagram_protocol protocol =
    {.datagram_received = datagram_received, .error_received = error_received};

static void
test_datagrams(void)
{
	struct pfk_addr addr, peer;
	int fd = unit_udp(&addr), other = unit_udp(&peer);

	loop = pfk_loop_new(backend);
	datagrams = errors = 0;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	ask(fd);
	endpoint = pfk_datagram_open(loop, fd, &protocol, NULL);
	if (connect(other, &addr.sa, addr.len) == -1)
		err(1, "connect");
	for (int i = 1; i <= MESSAGES; i++) {
		unit_write(other, "x", 1);
		if (!unit_run_until(loop, &datagrams, i))
			break;
	}
	is_int(datagrams, MESSAGES, "%s: all datagrams", backend);
	settled(fd, "an endpoint");
	is_int(errors, 0, "%s: none is an error of the endpoint", backend);
	close(other);
	pfk_datagram_close(&endpoint);
	pfk_loop_run(loop);
	pfk_loop_free(loop);
}

/* A program that has asked for ICMP's errors can look at them. */
static void
test_icmp(void)
{
	struct pfk_addr addr, peer;
	int on = 1, fd = unit_udp(&addr), other = unit_udp(&peer);

	loop = pfk_loop_new(backend);
	errors = 0;
	look = true;
	looked = -1;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
	endpoint = pfk_datagram_open(loop, fd, &protocol, NULL);
	close(other);
	pfk_sendto(endpoint, "abc", 3, &peer, NULL);
	ok(unit_run_until(loop, &errors, 1), "%s: error_received", backend);
	is_int(looked, 3, "%s: and the report is still there", backend);
	look = false;
	pfk_sendto(endpoint, "abc", 3, &peer, NULL);
	unit_run_until(loop, &errors, 2);
	settled(fd, "an endpoint with errors");
	pfk_datagram_close(&endpoint);
	pfk_loop_run(loop);
	pfk_loop_free(loop);
}

int
main(void)
{
	test_functions();
	for (const char *const *b = unit_backends; *b != NULL; b++) {
		backend = *b;
		test_connection();
		test_blocked();
		test_reset();
		test_datagrams();
		test_icmp();
	}
	return done_testing();
}
