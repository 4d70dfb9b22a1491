/*
 * udp.c: datagram endpoints. Every case runs on each back-end.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "event/loop.h"
#include "tap.h"
#include "unit.h"

#define MANY 150 /* more than two batches */

static const char *backend;
static struct pfk_loop *loop;
static struct pfk_datagram *endpoint;
static struct pfk_addr addr;  /* the endpoint's */
static struct pfk_addr peer;  /* the client's */
static struct pfk_addr asked; /* as the last packet said */
static int client, fds_before;
static int made, received, errors, lost, late, last_error;
static bool unicast, in_call;
static void (*on_packet)(const struct pfk_packet *p);
static void (*on_error)(void);

static void *
connection_made(struct pfk_datagram *d, void *arg)
{
	(void)d;
	made++;
	return arg;
}

static void
datagram_received(void *self, const struct pfk_packet *p)
{
	(void)self;
	received++;
	late += lost > 0;
	asked = *p->to;
	unicast = p->unicast;
	if (on_packet != NULL)
		on_packet(p);
}

static void
error_received(void *self, int error)
{
	(void)self;
	errors++;
	late += lost > 0 || in_call;
	last_error = error;
	if (on_error != NULL)
		on_error();
}

static void
connection_lost(void *self, int error)
{
	lost++;
	late += in_call || self != &fds_before || error != 0;
}

static const struct pfk_datagram_protocol protocol = {connection_made,
    datagram_received, error_received, connection_lost, false};

static void
echo(const struct pfk_packet *p)
{
	pfk_sendto(endpoint, p->buf, p->len, p->from, p->to);
}

static void
open_on(int fd)
{
	fcntl(fd, F_SETFL, O_NONBLOCK);
	endpoint = pfk_datagram_open(loop, fd, &protocol, &fds_before);
}

static void
begin(void)
{
	fds_before = unit_count_fds();
	loop = pfk_loop_new(backend);
	made = received = errors = lost = late = last_error = 0;
	on_packet = echo;
	on_error = NULL;
	open_on(unit_udp(&addr));
	client = unit_udp(&peer);
	if (connect(client, &addr.sa, addr.len) == -1)
		err(1, "connect");
}

static void
end(const char *name)
{
	pfk_datagram_close(&endpoint);
	pfk_datagram_close(&endpoint);
	is_int(pfk_loop_run(loop), 0, "%s: %s: the loop ends", backend, name);
	ok(lost == 1 && late == 0,
	    "%s: %s: connection_lost once, last, from the loop", backend, name);
	pfk_loop_free(loop);
	close(client);
	is_int(unit_count_fds(), fds_before, "%s: %s: no descriptor is left",
	    backend, name);
}

static void
say(const char *text)
{
	unit_write(client, text, strlen(text));
}

/* The next answer that is there; "-" for none. */
static const char *
answer(void)
{
	static char buf[64];
	ssize_t n = recv(client, buf, sizeof(buf) - 1, MSG_DONTWAIT);

	snprintf(buf + (n > 0 ? n : 0), 2, "%s", n == -1 ? "-" : "");
	return buf;
}

static int
count_answers(void)
{
	int n = 0;

	while (strcmp(answer(), "-") != 0)
		n++;
	return n;
}

static void
test_echo(void)
{
	static char big[65507], back[65507];

	begin();
	is_int(made, 1, "%s: connection_made", backend);
	say("abc");
	unit_run_until(loop, &received, 1);
	is_str(answer(), "abc", "%s: echoed", backend);
	ok(pfk_addr_equal(&asked, &addr) && unicast, "%s: the address asked",
	    backend);
	say("");
	unit_run_until(loop, &received, 2);
	is_str(answer(), "", "%s: of length zero", backend);
	is_int(loop->work, 2 * PFK__WORK_UNIT + 3, "%s: work", backend);
	memset(big, 'x', sizeof(big));
	unit_write(client, big, sizeof(big));
	unit_run_until(loop, &received, 3);
	is_int(recv(client, back, sizeof(back), MSG_DONTWAIT), sizeof(big),
	    "%s: the largest", backend);
	is_mem(back, big, sizeof(big), "%s: the same", backend);
	for (int i = 0; i < MANY; i++)
		say("abc");
	unit_run_until(loop, &received, 3 + MANY);
	unit_settle(loop);
	is_int(count_answers(), MANY, "%s: many, in batches", backend);
	is_int(pfk_datagram_dropped(endpoint), 0, "%s: none dropped", backend);
	end("echo");
}

/* Own memory may change as soon as the call is over; order is kept. */
static void
answer_mixed(const struct pfk_packet *p)
{
	char own[8] = "own";

	pfk_sendto(endpoint, p->buf, p->len, p->from, NULL);
	pfk_sendto(endpoint, own, 3, p->from, NULL);
	memset(own, '?', sizeof(own));
	pfk_sendto(endpoint, (const char *)p->buf + 1, p->len - 1, p->from,
	    NULL);
}

static void
answer_often(const struct pfk_packet *p)
{
	for (int i = 0; i < MANY; i++)
		pfk_sendto(endpoint, p->buf, p->len, p->from, NULL);
}

static void
test_memory(void)
{
	char own[8] = "late";

	begin();
	on_packet = answer_mixed;
	say("abc");
	say("def");
	unit_run_until(loop, &received, 2);
	unit_settle(loop);
	is_str(answer(), "abc", "%s: the packet's own bytes", backend);
	is_str(answer(), "own", "%s: other memory, in order", backend);
	is_str(answer(), "bc", "%s: a part of the packet", backend);
	is_str(answer(), "def", "%s: the next of the batch", backend);
	is_int(count_answers(), 2, "%s: and its others", backend);
	on_packet = answer_often;
	say("x");
	unit_run_until(loop, &received, 3);
	unit_settle(loop);
	is_int(count_answers(), MANY, "%s: more answers than a batch", backend);
	pfk_sendto(endpoint, own, 4, &peer, NULL);
	memset(own, '?', sizeof(own));
	is_str(answer(), "late", "%s: outside of a callback", backend);
	end("memory");
}

/* closing */

static void
echo_and_close(const struct pfk_packet *p)
{
	echo(p);
	pfk_datagram_close(&endpoint);
}

static void
test_close_inside(void)
{
	begin();
	on_packet = echo_and_close;
	for (int i = 0; i < 10; i++)
		say("abc");
	is_int(pfk_loop_run(loop), 0, "%s: closed from inside: it ends",
	    backend);
	is_int(received, 1, "%s: nothing more is delivered", backend);
	is_int(count_answers(), 1, "%s: but the answer is sent", backend);
	end("close inside");
}

static void
test_open_fails(void)
{
	begin();
	errno = 0;
	ok(pfk_datagram_open(loop, -1, &protocol, NULL) == NULL &&
		errno == EBADF,
	    "%s: no descriptor", backend);
	is_int(made, 1, "%s: nothing is called", backend);
	in_call = true;
	pfk_datagram_close(&endpoint);
	in_call = false;
	pfk_loop_run(loop);
	lost = 0;
	in_call = true;
	open_on(unit_udp(&addr));
	in_call = false;
	unit_settle(loop);
	is_int(made, 2, "%s: opened again", backend);
	end("callbacks come from the loop");
}

/* errors */

static struct pfk_addr nowhere;

static void
answer_between(const struct pfk_packet *p)
{
	pfk_sendto(endpoint, p->buf, p->len, p->from, NULL);
	pfk_sendto(endpoint, p->buf, p->len, &nowhere, NULL);
	pfk_sendto(endpoint, p->buf, p->len, p->from, NULL);
}

static void
send_more(void)
{
	if (errors == 1)
		pfk_sendto(endpoint, "more", 4, &peer, NULL);
}

static void
close_endpoint(void)
{
	pfk_datagram_close(&endpoint);
}

static void
test_send_error(void (*reaction)(void), int answers, const char *name)
{
	begin();
	on_packet = answer_between;
	on_error = reaction;
	say("abc");
	unit_run_until(loop, &errors, 1);
	unit_settle(loop);
	is_int(last_error, EINVAL, "%s: %s: error_received", backend, name);
	is_int(errors, 1, "%s: %s: once", backend, name);
	is_int(count_answers(), answers, "%s: %s: the others are sent, once",
	    backend, name);
	end(name);
}

static void
test_send_error_outside(void)
{
	begin();
	in_call = true;
	pfk_sendto(endpoint, "abc", 3, &nowhere, NULL);
	in_call = false;
	unit_run_until(loop, &errors, 1);
	is_int(errors, 1, "%s: error_received", backend);
	end("error outside");
}

/* A connected socket hears of the ICMP error; it goes on. */
static void
test_icmp(void)
{
	struct pfk_addr gone;
	int fd;

	begin();
	pfk_datagram_close(&endpoint);
	pfk_loop_run(loop);
	lost = 0;
	close(client);
	client = unit_udp(&gone);
	fd = unit_udp(&addr);
	if (connect(fd, &gone.sa, gone.len) == -1)
		err(1, "connect");
	open_on(fd);
	close(client);
	pfk_sendto(endpoint, "abc", 3, &gone, NULL);
	unit_run_until(loop, &errors, 1);
	is_int(last_error, ECONNREFUSED, "%s: ICMP's error", backend);
	unit_settle(loop);
	is_int(errors, 1, "%s: is told once", backend);
	is_int(lost, 0, "%s: and ends nothing", backend);
	client = -1;
	end("icmp");
}

/* A local socket pair has a queue that fills; addresses it has none. */
static void
test_dropped(void)
{
	static const struct pfk_addr nobody;
	int fds[2];

	begin();
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
		fds) == -1)
		err(1, "socketpair");
	pfk_datagram_close(&endpoint);
	pfk_loop_run(loop);
	lost = 0;
	close(client);
	client = fds[1];
	open_on(fds[0]);
	for (int i = 0; i < 1000; i++)
		pfk_sendto(endpoint, "abc", 3, &nobody, NULL);
	ok(pfk_datagram_dropped(endpoint) > 0, "%s: a full buffer drops",
	    backend);
	is_int(count_answers() + (int)pfk_datagram_dropped(endpoint), 1000,
	    "%s: and counts", backend);
	is_int(errors, 0, "%s: which is no error", backend);
	end("dropped");
}

/* wildcard */

static void
test_wildcard(void)
{
	struct pfk_addr any, second;
	int fd, on = 1;

	begin();
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	pfk_datagram_close(&endpoint);
	pfk_loop_run(loop);
	lost = 0;
	pfk_addr_parse(&any, "0.0.0.0", 0);
	setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
	if (bind(fd, &any.sa, any.len) == -1 ||
	    getsockname(fd, &any.sa, &any.len) == -1)
		err(1, "bind");
	open_on(fd);
	pfk_addr_parse(&second, "127.0.0.2", pfk_addr_port(&any));
	if (connect(client, &second.sa, second.len) == -1)
		err(1, "connect");
	say("abc");
	unit_run_until(loop, &received, 1);
	ok(pfk_addr_equal(&asked, &second) && unicast,
	    "%s: which address was asked", backend);
	unit_settle(loop);
	is_str(answer(), "abc", "%s: that one answers", backend);
	pfk_addr_parse(&second, "127.255.255.255", pfk_addr_port(&any));
	setsockopt(client, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
	on_packet = NULL;
	if (connect(client, &second.sa, second.len) == -1)
		err(1, "connect");
	say("abc");
	unit_run_until(loop, &received, 2);
	ok(pfk_addr_equal(&asked, &second) && !unicast,
	    "%s: a broadcast is not for us alone", backend);
	end("wildcard");
}

/* drain */

static void
test_drain(enum pfk_drain how, int served, const char *name)
{
	begin();
	for (int i = 0; i < MANY; i++)
		say("abc");
	pfk_loop_drain(loop, how);
	ok(received == 0 && lost == 0, "%s: %s: not from inside the call",
	    backend, name);
	is_int(pfk_loop_run(loop), 0, "%s: %s: which ends", backend, name);
	is_int(received, served, "%s: %s: queued datagrams", backend, name);
	is_int(count_answers(), served, "%s: %s: is answered", backend, name);
	pfk_sendto(endpoint, "x", 1, &peer, NULL);
	end(name);
}

static void
drain_and_echo(const struct pfk_packet *p)
{
	pfk_loop_drain(loop, PFK_DRAIN_STOP);
	echo(p);
}

/* From inside a delivery: the rest of the batch is not overwritten. */
static void
test_drain_inside(void)
{
	char text[8];
	int right = 0;

	begin();
	on_packet = drain_and_echo;
	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "%d", i);
		say(text);
	}
	unit_run_until(loop, &lost, 1);
	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "%d", i);
		right += strcmp(answer(), text) == 0;
	}
	is_int(right, MANY, "%s: drain inside: each is answered in order",
	    backend);
	end("drain inside");
}

int
main(void)
{
	pfk_addr_parse(&nowhere, "127.0.0.1", 0);
	for (int i = 0; unit_backends[i] != NULL; i++) {
		backend = unit_backends[i];
		test_echo();
		test_memory();
		test_close_inside();
		test_open_fails();
		test_send_error(NULL, 2, "error in a batch");
		test_send_error(send_more, 3, "error, and send");
		test_send_error(close_endpoint, 2, "error, and close");
		test_send_error_outside();
		test_icmp();
		test_dropped();
		test_wildcard();
		test_drain_inside();
		test_drain(PFK_DRAIN_LEAVE, MANY, "leave");
		test_drain(PFK_DRAIN_STOP, MANY, "stop");
		test_drain(PFK_DRAIN_NOW, 0, "now");
	}
	return done_testing();
}
