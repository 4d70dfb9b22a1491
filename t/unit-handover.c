/*
 * handover.c: connections go from one loop to another, as they go from one
 * process to another. Every case runs on each back-end.
 */
#include "transport/handover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event/loop.h"
#include "handover.h"
#include "process/channel.h"
#include "process/takeover.h"
#include "tap.h"
#include "transport/server.h"
#include "unit.h"

static void
pause_reading(struct record *r)
{
	pfk_pause_reading(r->tr);
}

static void
test_idle(void)
{
	struct pfk_addr local = {.len = sizeof(local.in6)};
	char buf[8] = "";
	int fd;

	handover_begin();
	ho.old.at[RECORD_MADE] = pause_reading;
	fd = handover_client();
	unit_write(fd, "abc", 3); /* unread when it goes */
	handover_hand();
	is_int(ho.taken, 1, "%s: the receiver is told when it has all",
	    ho.backend);
	is_int(ho.n_resumed, 1, "%s: connection_resumed", ho.backend);
	is_str(ho.resumed[0].text, "state", "%s: with the protocol's state",
	    ho.backend);
	is_int(ho.old.conns[0].error, PFK_HANDED_OVER, "%s: lost to another",
	    ho.backend);
	unit_settle(ho.to);
	is_int(ho.new.calls[RECORD_DATA], 0, "%s: a pause comes along",
	    ho.backend);
	pfk_resume_reading(ho.resumed[0].tr);
	unit_run_until(ho.to, &ho.new.calls[RECORD_DATA], 1);
	is_int(unit_read(fd, buf, 3), 3, "%s: unread bytes are served",
	    ho.backend);
	is_str(buf, "abc", "%s: whole", ho.backend);
	getsockname(fd, &local.sa, &local.len);
	ok(pfk_addr_equal(pfk_peername(ho.resumed[0].tr), &local),
	    "%s: it knows its peer", ho.backend);
	close(fd);
	ok(unit_run_until(ho.to, &ho.new.calls[RECORD_LOST], 1),
	    "%s: then it ends", ho.backend);
	handover_end("idle");
}

/* By its record, which a successor of its process goes on with. */
static uint64_t
idle_ns(const struct pfk_transport *tr)
{
	return pfk_loop_now(ho.to) -
	    pfk__record(ho.to->ledger, tr->io.fd)->stream.active_ns;
}

/* The time without traffic goes on, and each comes to its place by it. */
static void
test_idle_clock(void)
{
	int late, idle, fresh, own;
	char byte;

	handover_begin();
	ho.giver->roster.idle_ns = ho.taker->roster.idle_ns = 60 *
	    PFK_SECOND_NS;
	ho.giver->roster.slack_ns = ho.taker->roster.slack_ns = PFK_SECOND_NS;
	late = handover_client();
	idle = handover_client();
	fresh = handover_client();
	ho.old.conns[0].tr->active_ns -= 70 * PFK_SECOND_NS;
	ho.old.conns[1].tr->active_ns -= 30 * PFK_SECOND_NS;
	own = unit_connect(&ho.addr);
	unit_run_until(ho.to, &ho.new.calls[RECORD_MADE], 1);
	handover_hand();
	is_int(ho.n_resumed, 3, "%s: all are handed over", ho.backend);
	is_int(idle_ns(ho.resumed[1].tr) / (10 * PFK_SECOND_NS), 3,
	    "%s: one has been idle for long", ho.backend);
	ok(idle_ns(ho.resumed[2].tr) < 10 * PFK_SECOND_NS,
	    "%s: another has not", ho.backend);
	is_int(unit_read(late, &byte, 1), 0, "%s: the third is closed at once",
	    ho.backend);
	ok(TAILQ_NEXT(ho.resumed[1].tr, link) == ho.new.conns[0].tr ||
		TAILQ_NEXT(ho.resumed[1].tr, link) == ho.resumed[2].tr,
	    "%s: the idle one is before the others", ho.backend);
	close(late);
	close(idle);
	close(fresh);
	close(own);
	ok(unit_run_until(ho.to, &ho.new.calls[RECORD_LOST], 4),
	    "%s: then all end", ho.backend);
	handover_end("idle clock");
}

/* Without a timeout nobody counts: a later one begins anew. */
static void
test_new_timeout(void)
{
	int fd;

	handover_begin();
	fd = handover_client();
	ho.taker->roster.idle_ns = 60 * PFK_SECOND_NS;
	ho.old.conns[0].tr->active_ns -= 70 * PFK_SECOND_NS;
	handover_hand();
	ok(idle_ns(ho.resumed[0].tr) < 10 * PFK_SECOND_NS,
	    "%s: the time begins with a timeout", ho.backend);
	close(fd);
	ok(unit_run_until(ho.to, &ho.new.calls[RECORD_LOST], 1),
	    "%s: then it ends", ho.backend);
	handover_end("new timeout");
}

#define TOO_MUCH (16u << 20) /* for sockets, and a hand-over */

static void
write_big(struct record *r)
{
	record_write(r->tr, TOO_MUCH);
}

/* Unsent bytes come along, if they are not too many; else it stays. */
static void
test_unsent(void)
{
	struct drinker d;
	int fd;

	handover_begin();
	ho.old.at[RECORD_MADE] = write_big;
	fd = handover_client();
	handover_hand();
	is_int(ho.n_resumed, 0, "%s: too much unsent: it stays", ho.backend);
	drinker_start(&d, ho.from, fd);
	for (int i = 0; i < 5000 && d.got < TOO_MUCH; i++)
		unit_settle(ho.from);
	ok(d.got == TOO_MUCH && d.wrong == 0, "%s: and is served: %zu",
	    ho.backend, d.got);
	pfk_close(ho.old.conns[0].tr);
	unit_run_until(ho.from, &d.ended, 1);
	drinker_close(&d);
	handover_end("too much unsent");
}

static void
on_release(void *arg)
{
	free(arg);
}

/* The next bytes, in a buffer that is handed over, and some behind it. */
static void
write_owned(void)
{
	char *buf = malloc(50000), last = record_byte(ho.written + 49999);

	for (size_t i = 0; buf != NULL && i < 50000; i++)
		buf[i] = record_byte(ho.written + i);
	pfk_write_owned(ho.old.conns[0].tr, buf, 49999, on_release, buf);
	pfk_write(ho.old.conns[0].tr, &last, 1);
	ho.written += 50000;
}

static void
test_some_unsent(size_t unsent, bool owned, const char *name)
{
	struct drinker d;
	int fd;

	handover_begin();
	ho.written = 0;
	ho.unsent = unsent;
	ho.old.at[RECORD_MADE] = handover_write;
	fd = handover_client();
	if (owned)
		write_owned();
	ok(pfk_write_buffered(ho.old.conns[0].tr) > unsent, "%s: %s",
	    ho.backend, name);
	handover_hand();
	is_int(ho.n_resumed, 1, "%s: it goes along", ho.backend);
	drinker_start(&d, ho.to, fd);
	for (int i = 0; i < 5000 && d.got < ho.written; i++)
		unit_settle(ho.to);
	ok(d.got == ho.written && d.wrong == 0, "%s: all came, in order: %zu",
	    ho.backend, d.got);
	drinker_close(&d);
	unit_run_until(ho.to, &ho.new.calls[RECORD_LOST], 1);
	handover_end(name);
}

/* A connection that refuses to go, or is refused there, stays and goes on. */
static void
test_stays(bool asked, const char *name)
{
	char buf[8] = "";
	int fd;

	handover_begin();
	fd = handover_client();
	ho.instead = asked ? PFK_NEVER : 0;
	ho.refuse = !asked;
	handover_hand();
	is_int(ho.n_resumed, asked ? 0 : 1, "%s: %s", ho.backend, name);
	is_int(ho.old.calls[RECORD_LOST], 0, "%s: %s: not lost", ho.backend,
	    name);
	unit_write(fd, "abc", 3);
	unit_run_until(ho.from, &ho.old.calls[RECORD_DATA], 1);
	is_int(unit_read(fd, buf, 3), 3, "%s: %s: served", ho.backend, name);
	close(fd);
	unit_run_until(ho.from, &ho.old.calls[RECORD_LOST], 1);
	is_int(ho.new.calls[RECORD_LOST], 0, "%s: %s: nobody else lost it",
	    ho.backend, name);
	handover_end(name);
}

/* The other end is gone: all stay. */
static void
test_nobody(void)
{
	int fds[2], fd;
	char buf[8] = "";

	handover_begin();
	fd = handover_client();
	pfk__channel_pair(fds);
	close(fds[1]);
	pfk_loop_drain(ho.from, PFK_DRAIN_LEAVE);
	ho.from->serving[PFK_TCP]->give(ho.from, fds[0], true);
	unit_settle(ho.from);
	unit_write(fd, "abc", 3);
	unit_run_until(ho.from, &ho.old.calls[RECORD_DATA], 1);
	is_int(unit_read(fd, buf, 3), 3, "%s: nobody takes it: it stays",
	    ho.backend);
	close(fd);
	unit_run_until(ho.from, &ho.old.calls[RECORD_LOST], 1);
	handover_end("nobody");
}

/* Requests while it was away are carried out when it is back. */
static void
test_meanwhile(void (*what)(struct pfk_transport *tr), ssize_t expected,
    const char *name)
{
	char buf[8] = "";
	int fd;

	handover_begin();
	fd = handover_client();
	ho.refuse = true;
	ho.on_its_way = what;
	handover_hand();
	is_int(unit_read(fd, buf, 1), expected, "%s: %s", ho.backend, name);
	is_int(ho.old.calls[RECORD_LOST], what == pfk_abort, "%s: %s: lost",
	    ho.backend, name);
	close(fd);
	unit_run_until(ho.from, &ho.old.calls[RECORD_LOST], 1);
	handover_end(name);
}

static void
fill_the_second(void)
{
	ho.leaving = NULL;
	ho.unsent = 0;
	pfk_set_write_limits(ho.old.conns[1].tr, 0, 1024);
	handover_write(&ho.old.conns[1]);
}

/* It goes with more than the high mark unsent, and nobody was told yet. */
static void
test_untold(void)
{
	struct drinker d;
	int a, b;

	handover_begin();
	ho.written = 0;
	a = handover_client();
	b = handover_client();
	ho.leaving = fill_the_second;
	handover_hand();
	is_int(ho.old.calls[RECORD_PAUSE], 0, "%s: untold there", ho.backend);
	unit_settle(ho.to);
	is_int(ho.new.calls[RECORD_PAUSE], 1, "%s: told here: pause",
	    ho.backend);
	drinker_start(&d, ho.to, b);
	unit_run_until(ho.to, &ho.new.calls[RECORD_RESUME], 1);
	is_int(ho.new.calls[RECORD_RESUME], 1, "%s: and resume", ho.backend);
	drinker_close(&d);
	close(a);
	unit_run_until(ho.to, &ho.new.calls[RECORD_LOST], 2);
	handover_end("untold");
}

/* Bytes that are no packet end the taking, and leave no descriptor. */
static void
test_garbage(int byte, size_t len)
{
	union {
		char buf[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	char data[4096];
	struct iovec iov = {data, len};
	struct msghdr m = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.buf,
	    .msg_controllen = sizeof(control.buf)};
	struct cmsghdr *cm = CMSG_FIRSTHDR(&m);
	int fds[2], pass[2] = {STDIN_FILENO, STDOUT_FILENO};

	handover_begin();
	memset(data, byte, sizeof(data));
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(pass));
	memcpy(CMSG_DATA(cm), pass, sizeof(pass));
	pfk__channel_pair(fds);
	ho.to->serving[PFK_TCP]->take(ho.to, fds[1], false, PFK__KNOCK_VERSION);
	is_int(sendmsg(fds[0], &m, 0), (int)len, "%s: garbage: sent",
	    ho.backend);
	ok(unit_run_until(ho.to, &ho.taken, 1), "%s: garbage: it ends",
	    ho.backend);
	is_int(ho.n_resumed, 0, "%s: garbage: nothing is resumed", ho.backend);
	close(fds[0]);
	handover_end("garbage");
}

/* Two descriptors where one is expected; of all lengths one is a packet's. */
static void
test_two_descriptors(void)
{
	union {
		char buf[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	char data[512] = "";
	struct iovec iov = {data, 0};
	struct msghdr m = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.buf,
	    .msg_controllen = sizeof(control.buf)};
	struct cmsghdr *cm = CMSG_FIRSTHDR(&m);
	int fds[2], pass[2] = {STDIN_FILENO, STDOUT_FILENO};

	handover_begin();
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(pass));
	memcpy(CMSG_DATA(cm), pass, sizeof(pass));
	for (; iov.iov_len <= sizeof(data); iov.iov_len++) {
		pfk__channel_pair(fds);
		ho.to->serving[PFK_TCP]->take(ho.to, fds[1], false,
		    PFK__KNOCK_VERSION);
		if (sendmsg(fds[0], &m, 0) == (ssize_t)iov.iov_len)
			close(fds[0]);
		unit_run_until(ho.to, &ho.taken, (int)iov.iov_len + 1);
	}
	is_int(ho.taken, sizeof(data) + 1, "%s: none is taken for good",
	    ho.backend);
	handover_end("two descriptors");
}

int
main(void)
{
	for (int i = 0; unit_backends[i] != NULL; i++) {
		ho.backend = unit_backends[i];
		test_idle();
		test_idle_clock();
		test_new_timeout();
		test_unsent();
		test_some_unsent(0, false, "some unsent");
		test_some_unsent(1u << 20, false, "much unsent");
		test_some_unsent(0, true, "a buffer of the program's");
		test_stays(true, "the protocol stays");
		test_stays(false, "the other refuses");
		test_nobody();
		test_meanwhile(pfk_abort, -1, "abort on its way");
		test_meanwhile(pfk_write_eof, 0, "write_eof on its way");
		test_meanwhile(pfk_close, 0, "close on its way");
		test_untold();
		test_two_descriptors();
		test_garbage(0, 0);
		test_garbage(0, 1);
		test_garbage(0xff, sizeof(int));
		test_garbage(0xff, 4096);
		test_garbage(0x41, 4096);
	}
	return done_testing();
}
