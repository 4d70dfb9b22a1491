/*
 * unit-udp-batch.c: many datagrams in one message, in and out. Every case runs
 * on each back-end.
 */
#include <netinet/udp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "datagrams.h"
#include "tap.h"
#include "unit.h"

/* Messages that the library has got and sent, and the trains among these. */
static int came, sent, trains;

static bool
is_train(const struct msghdr *h)
{
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(h); cm != NULL;
	     cm = CMSG_NXTHDR((struct msghdr *)(uintptr_t)h, cm)) {
		if (cm->cmsg_level == SOL_UDP && cm->cmsg_type == UDP_SEGMENT)
			return true;
	}
	return false;
}

int
sendmmsg(int fd, struct mmsghdr *vmessages, unsigned n, int flags)
{
	int rc = (int)syscall(SYS_sendmmsg, fd, vmessages, n, flags);

	for (int i = 0; i < rc; i++)
		trains += is_train(&vmessages[i].msg_hdr);
	sent += rc > 0 ? rc : 0;
	return rc;
}

int
recvmmsg(int fd, struct mmsghdr *vmessages, unsigned n, int flags,
    struct timespec *tmo)
{
	int rc = (int)syscall(SYS_recvmmsg, fd, vmessages, n, flags, tmo);

	came += rc > 0 ? rc : 0;
	return rc;
}

static void
begin_at(const char *where)
{
	dg_begin_at(where);
	came = sent = trains = 0;
}

static void
begin(void)
{
	begin_at(dg.host);
}

/* receiving */

static void
test_train(const char *name)
{
	begin();
	dg_put_train(&dg.clients[0], &dg.addr, 100, 9, 40);
	dg_check(10, name);
	is_int(came, 1, "%s: %s: came as one message", dg.backend, name);
	is_int(sent, 1, "%s: %s: answered by one", dg.backend, name);
	dg_put_train(&dg.clients[0], &dg.addr, 1000, 64, -1);
	dg_put_train(&dg.clients[0], &dg.addr, 1000, 63, 1);
	dg_put_train(&dg.clients[0], &dg.addr, 1000, 64, -1);
	dg_check(10 + 192, name);
	is_int(pfk_datagram_dropped(dg.endpoint), 0, "%s: none dropped",
	    dg.backend);
	dg_end(name);
}

static void
test_mixed(const char *name)
{
	static const int lens[] = {5, 5, 3, 5, 5, 6, 0, 6, 6, 0, 0, 1, 1000,
	    1000, 999, 999, 7};

	begin();
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		for (int j = 0; j < DG_CLIENTS; j++)
			dg_put(&dg.clients[j], lens[i]);
	}
	dg_check(3 * 17, name);
	/* 5 5 3, 5 5, 6, -, 6 6, -, -, 1, 1000 1000 999, 999 7 */
	is_int(sent, 3 * 10, "%s: %s: messages", dg.backend, name);
	for (int i = 0; i < 20; i++) {
		dg_put_train(&dg.clients[0], &dg.addr, 50, 2, 10);
		dg_put_train(&dg.clients[1], &dg.addr, 60, 3, -1);
		dg_put(&dg.clients[2], 50);
	}
	dg_check(3 * 17 + 20 * 7, name);
	is_int(pfk_datagram_dropped(dg.endpoint), 0, "%s: none dropped",
	    dg.backend);
	dg_end(name);
}

/* As many messages as a batch has, and as many pieces as can be queued. */
static void
test_full(void)
{
	begin();
	for (int i = 0; i < 64; i++)
		dg_put_train(&dg.clients[0], &dg.addr, 20, 2, -1);
	dg_check(128, "full batch");
	is_int(trains, 2, "%s: full batch: in the fewest trains", dg.backend);
	is_int(sent, 2, "%s: full batch: and nothing else", dg.backend);
	dg_end("full batch");

	begin();
	for (int i = 0; i < 63; i++)
		dg_put(&dg.clients[i % 2], 20 + i / 2 % 2);
	dg_put_train(&dg.clients[2], &dg.addr, 10, 30, 5);
	dg_check(63 + 31, "full of pieces");
	/* 20, 21 20, 21 20, ...; the last message goes on with its piece. */
	is_int(sent, 17 + 16 + 1, "%s: full of pieces: messages", dg.backend);
	dg_end("full of pieces");
}

/* No more than one packet carries. */
static void
test_large(void)
{
	begin();
	for (int i = 0; i < 40; i++)
		dg_put(&dg.clients[0], 2000);
	dg_check(40, "large");
	is_int(sent, 2, "%s: large: two trains", dg.backend);
	dg_put(&dg.clients[1], 40000);
	dg_put(&dg.clients[1], 40000);
	dg_put(&dg.clients[1], 65507);
	dg_put(&dg.clients[1], 65507);
	dg_put(&dg.clients[1], 1);
	dg_check(45, "largest");
	is_int(dg.errors, 0, "%s: largest: no error", dg.backend);
	dg_end("large");
}

/* addresses */

/* One peer, two of our addresses: each answers for itself, in order. */
static void
test_wildcard(void)
{
	struct pfk_addr asked_of[2], from;
	char byte;
	int n = 0, wrong = 0;

	begin_at("0.0.0.0");
	for (int i = 0; i < 2; i++)
		pfk_addr_parse(&asked_of[i], i == 0 ? "127.0.0.2" : "127.0.0.3",
		    pfk_addr_port(&dg.addr));
	for (int i = 0; i < 6; i++)
		dg_put_train(&dg.clients[0], &asked_of[i % 2], 10, 4, -1);
	unit_run_until(dg.loop, &dg.received, 24);
	for (;; n++) {
		from.len = sizeof(from.in6);
		if (recvfrom(dg.clients[0].fd, &byte, 1, MSG_DONTWAIT, &from.sa,
			&from.len) == -1)
			break;
		wrong += byte != dg_byte_of(&dg.clients[0], n, 0) ||
		    !pfk_addr_equal(&from, &asked_of[n / 4 % 2]);
	}
	is_int(n, 24, "%s: wildcard: all are answered", dg.backend);
	is_int(wrong, 0, "%s: wildcard: in order, from the address asked",
	    dg.backend);
	is_int(sent, 6, "%s: wildcard: messages", dg.backend);
	dg_end("wildcard");
}

/* protocols */

static void
answer_own(const struct pfk_packet *p)
{
	char own[2000];

	/* Every second one from other memory, which changes at once. */
	if (dg.received % 2 == 0) {
		dg_echo(p);
		return;
	}
	memcpy(own, p->buf, p->len);
	pfk_sendto(dg.endpoint, own, p->len, p->from, NULL);
	memset(own, 'x', sizeof(own));
}

static void
answer_and_tell(const struct pfk_packet *p)
{
	dg_echo(p);
	pfk_sendto(dg.endpoint, p->buf, p->len, &dg.clients[2].addr, NULL);
}

static void
answer_in_halves(const struct pfk_packet *p)
{
	size_t half = p->len / 2;

	pfk_sendto(dg.endpoint, p->buf, half, p->from, NULL);
	pfk_sendto(dg.endpoint, (const char *)p->buf + half, half, p->from,
	    NULL);
}

/* More pieces than can be queued, of trains that have room. */
static void
answer_often(const struct pfk_packet *p)
{
	for (int i = 0; i < 40; i++) {
		dg_echo(p);
		pfk_sendto(dg.endpoint, p->buf, p->len, &dg.clients[2].addr,
		    NULL);
	}
}

static void
test_often(void)
{
	int n[2] = {0, 0};

	begin();
	dg.on_packet = answer_often;
	dg_put(&dg.clients[0], 10);
	unit_run_until(dg.loop, &dg.received, 1);
	while (dg_got_number(&dg.clients[0]) == 0)
		n[0]++;
	for (char byte; recv(dg.clients[2].fd, &byte, 1, MSG_DONTWAIT) == 1;)
		n[1] += byte == dg_byte_of(&dg.clients[0], 0, 0);
	is_int(n[0], 40, "%s: often: to the one", dg.backend);
	is_int(n[1], 40, "%s: often: to the other", dg.backend);
	is_int(sent, 4, "%s: often: messages", dg.backend);
	dg_end("often");
}

static void
test_own_memory(void)
{
	begin();
	dg.on_packet = answer_own;
	dg_put_train(&dg.clients[0], &dg.addr, 100, 9, 40);
	dg_put_train(&dg.clients[1], &dg.addr, 100, 9, 40);
	dg_check(20, "own memory");
	dg_end("own memory");
}

static void
test_third_party(void)
{
	struct dg_client *c = &dg.clients[0];

	begin();
	dg.on_packet = answer_and_tell;
	dg_put_train(c, &dg.addr, 100, 9, 40);
	/* It gets the same bytes as the first one's. */
	unit_run_until(dg.loop, &dg.received, 10);
	is_int(sent, 2, "%s: third party: messages", dg.backend);
	is_int(dg_count_wrong(c), 0, "%s: third party: the answers",
	    dg.backend);
	dup2(dg.clients[2].fd, c->fd);
	c->checked = 0;
	is_int(dg_count_wrong(c), 0, "%s: third party: the copies", dg.backend);
	dg_end("third party");

	begin();
	dg.on_packet = answer_in_halves;
	dg_put_train(c, &dg.addr, 100, 3, 40);
	unit_run_until(dg.loop, &dg.received, 4);
	for (int i = 0; i < 8; i++) {
		char buf[100];

		is_int(recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT),
		    i < 6 ? 50 : 20, "%s: halves: %d", dg.backend, i);
		is_int(buf[0], dg_byte_of(c, i / 2, i % 2 * (i < 6 ? 50 : 20)),
		    "%s: halves: the bytes of %d", dg.backend, i);
	}
	dg_end("halves");
}

static void
test_close_inside(void)
{
	begin();
	dg.limit = 4;
	dg_put_train(&dg.clients[0], &dg.addr, 100, 9, 40);
	dg_put(&dg.clients[1], 5);
	dg.clients[0].promised = 4;
	dg.clients[1].promised = 0;
	is_int(pfk_loop_run(dg.loop), 0, "%s: closed inside", dg.backend);
	is_int(dg.received, 4, "%s: closed inside: no more is delivered",
	    dg.backend);
	is_int(dg_count_wrong(&dg.clients[0]), 0,
	    "%s: closed inside: the answers before it are sent", dg.backend);
	is_int(dg_count_wrong(&dg.clients[1]), 0, "%s: closed inside: no other",
	    dg.backend);
	dg_end("closed inside");
}

/* Two endpoints of one loop share the batch. */

static struct pfk_datagram *first;

static void
answer_by_both(const struct pfk_packet *p)
{
	if (first != NULL)
		pfk_sendto(first, p->buf, p->len, p->from, NULL);
	dg_echo(p);
}

/* How many answers have come from each. */
static void
count_sources(int fd, const struct pfk_addr *a, const struct pfk_addr *b,
    int *from_a, int *from_b)
{
	struct pfk_addr from;
	char byte;

	*from_a = *from_b = 0;
	for (;;) {
		from.len = sizeof(from.in6);
		if (recvfrom(fd, &byte, 1, MSG_DONTWAIT, &from.sa, &from.len) ==
		    -1)
			return;
		*from_a += pfk_addr_equal(&from, a);
		*from_b += pfk_addr_equal(&from, b);
	}
}

static void
test_two(void)
{
	struct pfk_addr old;
	int n[2];

	begin();
	first = dg.endpoint;
	old = dg.addr;
	dg.endpoint = pfk_datagram_open(dg.loop,
	    dg_open_bound(dg.host, &dg.addr), &dg_protocol, NULL);
	dg.on_packet = answer_by_both;
	dg_put_train(&dg.clients[0], &old, 100, 3, 40);
	dg_put_train(&dg.clients[1], &dg.addr, 100, 3, 40);
	unit_run_until(dg.loop, &dg.received, 8);
	for (int i = 0; i < 2; i++) {
		count_sources(dg.clients[i].fd, &old, &dg.addr, &n[0], &n[1]);
		is_int(n[0], 4, "%s: two: the first answers", dg.backend);
		is_int(n[1], 4, "%s: two: the second answers", dg.backend);
	}
	/* The second is closed while the first one's batch is delivered. */
	dg.limit = 10;
	dg_put_train(&dg.clients[2], &old, 100, 3, 40);
	unit_run_until(dg.loop, &dg.received, 12);
	count_sources(dg.clients[2].fd, &old, &dg.addr, &n[0], &n[1]);
	is_int(n[0], 4, "%s: two: the first goes on", dg.backend);
	is_int(n[1], 2, "%s: two: the second ends", dg.backend);
	pfk_datagram_close(&first);
	unit_settle(dg.loop);
	is_int(dg.lost--, 2, "%s: two: both are lost", dg.backend);
	dg_end("two endpoints");
}

/* More peers than a batch has trains; some have the same hash. */
static void
test_many_peers(void)
{
	struct pfk_addr a;
	int fds[70], wrong = 0;
	char got[2];

	begin();
	for (int i = 0; i < 70; i++)
		fds[i] = dg_open_bound(dg.host, &a);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 70; i++) {
			char say[2] = {(char)i, (char)round};

			sendto(fds[i], say, 2, 0, &dg.addr.sa, dg.addr.len);
		}
	}
	unit_run_until(dg.loop, &dg.received, 140);
	unit_settle(dg.loop);
	for (int i = 0; i < 70; i++) {
		for (int round = 0; round < 2; round++)
			wrong += recv(fds[i], got, 2, MSG_DONTWAIT) != 2 ||
			    got[0] != i || got[1] != round;
		wrong += recv(fds[i], got, 2, MSG_DONTWAIT) != -1;
		close(fds[i]);
	}
	is_int(wrong, 0, "%s: many peers: each gets its own", dg.backend);
	dg_end("many peers");
}

static void
test_all(void)
{
	test_train("train");
	test_mixed("mixed");
	test_full();
	test_large();
	test_often();
	test_own_memory();
	test_third_party();
	test_close_inside();
	test_two();
	test_many_peers();
}

int
main(void)
{
	for (int i = 0; unit_backends[i] != NULL; i++) {
		dg.backend = unit_backends[i];
		dg.host = "127.0.0.1";
		test_all();
		test_wildcard();
		dg.host = "::1";
		if (dg_has_host())
			test_all();
	}
	return done_testing();
}
