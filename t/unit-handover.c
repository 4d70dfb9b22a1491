/*
 * handover.c: connections go from one loop to another, as they go from one
 * process to another. Every case runs on each back-end.
 */
#include "transport/handover.h"

#include <string.h>
#include <unistd.h>

#include "event/loop.h"
#include "process/channel.h"
#include "record.h"
#include "tap.h"
#include "transport/server.h"
#include "unit.h"

static const char *backend;
static struct pfk_loop *from, *to;
static struct pfk_server *giver, *taker;
static struct pfk_addr addr;
static struct recorder old, new;
static struct record resumed[4];
static int n_resumed, taken, fds_before;
static bool stay, refuse;
/* In hand_over, and while it is on its way. */
static void (*leaving)(void), (*on_its_way)(struct pfk_transport *tr);

static ssize_t
hand_over(void *self, void *buf, size_t room)
{
	(void)self;
	if (stay || room < 5)
		return -1;
	memcpy(buf, "state", 5);
	if (leaving != NULL)
		leaving();
	return 5;
}

static void *
connection_resumed(struct pfk_transport *tr, void *arg, const void *buf,
    size_t len)
{
	struct record *r = &resumed[n_resumed++ % 4];

	*r = (struct record){.owner = arg, .tr = tr};
	memcpy(r->text, buf, len < sizeof(r->text) ? len : 0);
	if (on_its_way != NULL)
		on_its_way(old.conns[0].tr);
	return refuse ? NULL : r;
}

static void
on_taken(void *arg)
{
	++*(int *)arg;
}

static void
init(struct recorder *r)
{
	recorder_init(r);
	r->echo = true;
	r->protocol.hand_over = hand_over;
	r->protocol.connection_resumed = connection_resumed;
}

static void
begin(void)
{
	int fd;

	fds_before = unit_count_fds();
	n_resumed = taken = 0;
	stay = refuse = false;
	leaving = NULL;
	on_its_way = NULL;
	init(&old);
	init(&new);
	from = pfk_loop_new(backend);
	to = pfk_loop_new(backend);
	to->taken = on_taken;
	to->taken_arg = &taken;
	fd = unit_listen(&addr);
	giver = pfk_serve(from, dup(fd), &old.protocol, &old, NULL);
	taker = pfk_serve(to, fd, &new.protocol, &new, NULL);
}

/* The old one drains and gives; both loops turn until it has ended. */
static void
hand(void)
{
	int fds[2];

	pfk__channel_pair(fds);
	pfk_loop_drain(from, PFK_DRAIN_LEAVE);
	from->serving[PFK_TCP]->give(from, fds[0], true);
	to->serving[PFK_TCP]->take(to, fds[1], false);
	for (int i = 0; i < 5000 && taken == 0; i++) {
		unit_settle(to);
		unit_settle(from);
	}
}

static int
new_client(void)
{
	int fd = unit_connect(&addr), n = old.calls[RECORD_MADE];

	unit_run_until(from, &old.calls[RECORD_MADE], n + 1);
	return fd;
}

static void
end(const char *name)
{
	pfk_server_close(&giver);
	pfk_server_close(&taker);
	pfk_loop_run(from);
	pfk_loop_run(to);
	ok(old.late + new.late == 0 &&
		old.calls[RECORD_LOST] == old.calls[RECORD_MADE],
	    "%s: %s: connection_lost once, and last", backend, name);
	pfk_loop_free(from);
	pfk_loop_free(to);
	is_int(unit_count_fds(), fds_before, "%s: %s: no descriptor is left",
	    backend, name);
}

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

	begin();
	old.at[RECORD_MADE] = pause_reading;
	fd = new_client();
	unit_write(fd, "abc", 3); /* unread when it goes */
	hand();
	is_int(taken, 1, "%s: the receiver is told when it has all", backend);
	is_int(n_resumed, 1, "%s: connection_resumed", backend);
	is_str(resumed[0].text, "state", "%s: with the protocol's state",
	    backend);
	is_int(old.conns[0].error, PFK_HANDED_OVER, "%s: lost to another",
	    backend);
	unit_settle(to);
	is_int(new.calls[RECORD_DATA], 0, "%s: a pause comes along", backend);
	pfk_resume_reading(resumed[0].tr);
	unit_run_until(to, &new.calls[RECORD_DATA], 1);
	is_int(unit_read(fd, buf, 3), 3, "%s: what was unread is served",
	    backend);
	is_str(buf, "abc", "%s: whole", backend);
	getsockname(fd, &local.sa, &local.len);
	ok(pfk_addr_equal(pfk_peername(resumed[0].tr), &local),
	    "%s: it knows its peer", backend);
	close(fd);
	ok(unit_run_until(to, &new.calls[RECORD_LOST], 1), "%s: then it ends",
	    backend);
	end("idle");
}

/* By its record, which a successor of its process goes on with. */
static uint64_t
idle_ns(const struct pfk_transport *tr)
{
	return pfk_loop_now(to) -
	    pfk__record(to->ledger, tr->io.fd)->stream.active_ns;
}

/* The time without traffic goes on, and each comes to its place by it. */
static void
test_idle_clock(void)
{
	int late, idle, fresh, own;
	char byte;

	begin();
	giver->idle_ns = taker->idle_ns = 60 * PFK_SECOND_NS;
	giver->slack_ns = taker->slack_ns = PFK_SECOND_NS;
	late = new_client();
	idle = new_client();
	fresh = new_client();
	old.conns[0].tr->active_ns -= 70 * PFK_SECOND_NS;
	old.conns[1].tr->active_ns -= 30 * PFK_SECOND_NS;
	own = unit_connect(&addr);
	unit_run_until(to, &new.calls[RECORD_MADE], 1);
	hand();
	is_int(n_resumed, 3, "%s: all are handed over", backend);
	is_int(idle_ns(resumed[1].tr) / (10 * PFK_SECOND_NS), 3,
	    "%s: one has been idle for long", backend);
	ok(idle_ns(resumed[2].tr) < 10 * PFK_SECOND_NS, "%s: another has not",
	    backend);
	is_int(unit_read(late, &byte, 1), 0, "%s: the third is closed at once",
	    backend);
	ok(TAILQ_NEXT(resumed[1].tr, link) == new.conns[0].tr ||
		TAILQ_NEXT(resumed[1].tr, link) == resumed[2].tr,
	    "%s: the idle one is before the others", backend);
	close(late);
	close(idle);
	close(fresh);
	close(own);
	ok(unit_run_until(to, &new.calls[RECORD_LOST], 4), "%s: then all end",
	    backend);
	end("idle clock");
}

/* Without a timeout nobody counts: a later one begins anew. */
static void
test_new_timeout(void)
{
	int fd;

	begin();
	fd = new_client();
	taker->idle_ns = 60 * PFK_SECOND_NS;
	old.conns[0].tr->active_ns -= 70 * PFK_SECOND_NS;
	hand();
	ok(idle_ns(resumed[0].tr) < 10 * PFK_SECOND_NS,
	    "%s: the time begins with a timeout", backend);
	close(fd);
	ok(unit_run_until(to, &new.calls[RECORD_LOST], 1), "%s: then it ends",
	    backend);
	end("new timeout");
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

	begin();
	old.at[RECORD_MADE] = write_big;
	fd = new_client();
	hand();
	is_int(n_resumed, 0, "%s: too much unsent: it stays", backend);
	drinker_start(&d, from, fd);
	for (int i = 0; i < 5000 && d.got < TOO_MUCH; i++)
		unit_settle(from);
	ok(d.got == TOO_MUCH && d.wrong == 0, "%s: and is served: %zu", backend,
	    d.got);
	pfk_close(old.conns[0].tr);
	unit_run_until(from, &d.ended, 1);
	drinker_close(&d);
	end("too much unsent");
}

static size_t written, to_leave;

/* As much as the socket takes, and a little more than to_leave. */
static void
write_some(struct record *r)
{
	char chunk[16384];

	while (pfk_write_buffered(r->tr) <= to_leave) {
		for (size_t i = 0; i < sizeof(chunk); i++)
			chunk[i] = record_byte(written + i);
		pfk_write(r->tr, chunk, sizeof(chunk));
		written += sizeof(chunk);
	}
}

static void
test_some_unsent(size_t unsent, const char *name)
{
	struct drinker d;
	int fd;

	begin();
	written = 0;
	to_leave = unsent;
	old.at[RECORD_MADE] = write_some;
	fd = new_client();
	ok(pfk_write_buffered(old.conns[0].tr) > unsent, "%s: %s", backend,
	    name);
	hand();
	is_int(n_resumed, 1, "%s: it goes along", backend);
	drinker_start(&d, to, fd);
	for (int i = 0; i < 5000 && d.got < written; i++)
		unit_settle(to);
	ok(d.got == written && d.wrong == 0, "%s: all came, in order: %zu",
	    backend, d.got);
	drinker_close(&d);
	unit_run_until(to, &new.calls[RECORD_LOST], 1);
	end(name);
}

/* A connection that refuses to go, or is refused there, stays and goes on. */
static void
test_stays(bool asked, const char *name)
{
	char buf[8] = "";
	int fd;

	begin();
	fd = new_client();
	stay = asked;
	refuse = !asked;
	hand();
	is_int(n_resumed, asked ? 0 : 1, "%s: %s", backend, name);
	is_int(old.calls[RECORD_LOST], 0, "%s: %s: not lost", backend, name);
	unit_write(fd, "abc", 3);
	unit_run_until(from, &old.calls[RECORD_DATA], 1);
	is_int(unit_read(fd, buf, 3), 3, "%s: %s: served", backend, name);
	close(fd);
	unit_run_until(from, &old.calls[RECORD_LOST], 1);
	is_int(new.calls[RECORD_LOST], 0, "%s: %s: nobody else lost it",
	    backend, name);
	end(name);
}

/* The other end is gone: all stay. */
static void
test_nobody(void)
{
	int fds[2], fd;
	char buf[8] = "";

	begin();
	fd = new_client();
	pfk__channel_pair(fds);
	close(fds[1]);
	pfk_loop_drain(from, PFK_DRAIN_LEAVE);
	from->serving[PFK_TCP]->give(from, fds[0], true);
	unit_settle(from);
	unit_write(fd, "abc", 3);
	unit_run_until(from, &old.calls[RECORD_DATA], 1);
	is_int(unit_read(fd, buf, 3), 3, "%s: nobody takes it: it stays",
	    backend);
	close(fd);
	unit_run_until(from, &old.calls[RECORD_LOST], 1);
	end("nobody");
}

/* Requests while it was away are carried out when it is back. */
static void
test_meanwhile(void (*what)(struct pfk_transport *tr), ssize_t expected,
    const char *name)
{
	char buf[8] = "";
	int fd;

	begin();
	fd = new_client();
	refuse = true;
	on_its_way = what;
	hand();
	is_int(unit_read(fd, buf, 1), expected, "%s: %s", backend, name);
	is_int(old.calls[RECORD_LOST], what == pfk_abort, "%s: %s: lost",
	    backend, name);
	close(fd);
	unit_run_until(from, &old.calls[RECORD_LOST], 1);
	end(name);
}

static void
fill_the_second(void)
{
	leaving = NULL;
	to_leave = 0;
	pfk_set_write_limits(old.conns[1].tr, 0, 1024);
	write_some(&old.conns[1]);
}

/* It goes with more than the high mark unsent, and nobody was told yet. */
static void
test_untold(void)
{
	struct drinker d;
	int a, b;

	begin();
	written = 0;
	a = new_client();
	b = new_client();
	leaving = fill_the_second;
	hand();
	is_int(old.calls[RECORD_PAUSE], 0, "%s: untold there", backend);
	unit_settle(to);
	is_int(new.calls[RECORD_PAUSE], 1, "%s: told here: pause", backend);
	drinker_start(&d, to, b);
	unit_run_until(to, &new.calls[RECORD_RESUME], 1);
	is_int(new.calls[RECORD_RESUME], 1, "%s: and resume", backend);
	drinker_close(&d);
	close(a);
	unit_run_until(to, &new.calls[RECORD_LOST], 2);
	end("untold");
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

	begin();
	memset(data, byte, sizeof(data));
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(pass));
	memcpy(CMSG_DATA(cm), pass, sizeof(pass));
	pfk__channel_pair(fds);
	to->serving[PFK_TCP]->take(to, fds[1], false);
	is_int(sendmsg(fds[0], &m, 0), (int)len, "%s: garbage: sent", backend);
	ok(unit_run_until(to, &taken, 1), "%s: garbage: it ends", backend);
	is_int(n_resumed, 0, "%s: garbage: nothing is resumed", backend);
	close(fds[0]);
	end("garbage");
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

	begin();
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(pass));
	memcpy(CMSG_DATA(cm), pass, sizeof(pass));
	for (; iov.iov_len <= sizeof(data); iov.iov_len++) {
		pfk__channel_pair(fds);
		to->serving[PFK_TCP]->take(to, fds[1], false);
		if (sendmsg(fds[0], &m, 0) == (ssize_t)iov.iov_len)
			close(fds[0]);
		unit_run_until(to, &taken, (int)iov.iov_len + 1);
	}
	is_int(taken, sizeof(data) + 1, "%s: none is taken for good", backend);
	end("two descriptors");
}

int
main(void)
{
	for (int i = 0; unit_backends[i] != NULL; i++) {
		backend = unit_backends[i];
		test_idle();
		test_idle_clock();
		test_new_timeout();
		test_unsent();
		test_some_unsent(0, "some unsent");
		test_some_unsent(1u << 20, "much unsent");
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
