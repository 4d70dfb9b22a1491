/*
 * channel.c: messages, descriptors, and packets that are neither.
 */
#include "process/channel.h"
#include "process/takeover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tap.h"
#include "unit.h"

static int fds[2];
static int fds_before;

static void
begin(void)
{
	fds_before = unit_count_fds();
	if (pfk__channel_pair(fds) == -1)
		skip_all("no socket pair");
}

static void
end(const char *name)
{
	close(fds[0]);
	if (fds[1] != -1)
		close(fds[1]);
	is_int(unit_count_fds(), fds_before, "%s: no descriptor is left", name);
}

static bool
is_same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino &&
	    x.st_dev == y.st_dev;
}

/* len bytes of m with n duplicates of the descriptor. */
static void
send_raw(const void *m, size_t len, int fd, size_t n)
{
	union {
		char buf[CMSG_SPACE(32 * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)m, .iov_len = len};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n > 0) {
		struct cmsghdr *cm;
		int *list = calloc(n, sizeof(*list));

		h.msg_control = control.buf;
		h.msg_controllen = CMSG_SPACE(n * sizeof(int));
		cm = CMSG_FIRSTHDR(&h);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(n * sizeof(int));
		for (size_t i = 0; i < n; i++)
			list[i] = fd;
		memcpy(CMSG_DATA(cm), list, n * sizeof(int));
		free(list);
	}
	if (sendmsg(fds[0], &h, MSG_NOSIGNAL) == -1)
		diag("sendmsg: %s", strerror(errno));
}

static void
test_round_trip(void)
{
	struct pfk__message m = {.type = PFK__MSG_LEND,
				.slot = 3,
				.generation = UINT64_MAX,
				.kind = PFK_UDP,
				.text = "text"},
			    got;
	int passed = 0, again = -1;

	begin();
	pfk_addr_parse(&m.asked, "127.0.0.1", 7);
	errno = 0;
	ok(pfk__channel_receive(fds[1], &got, &passed) == -1 && errno == EAGAIN,
	    "nothing there: EAGAIN");
	is_int(passed, -1, "and no descriptor");
	is_int(pfk__channel_send(fds[0], &m, fds[0]), 0, "with a descriptor");
	m.type = PFK__MSG_READY;
	is_int(pfk__channel_send(fds[0], &m, -1), 0, "and without");
	is_int(pfk__channel_receive(fds[1], &got, &passed), 1, "received");
	ok(got.type == PFK__MSG_LEND && got.slot == 3 &&
		got.generation == UINT64_MAX && got.kind == PFK_UDP &&
		pfk_addr_equal(&got.asked, &m.asked) &&
		strcmp(got.text, "text") == 0,
	    "whole");
	ok(passed != -1 && is_same_file(passed, fds[0]), "the descriptor");
	is_int(pfk__channel_receive(fds[1], &got, &again), 1, "the next");
	ok(got.type == PFK__MSG_READY && again == -1, "has none");
	close(passed);
	end("round trip");
}

static void
test_text(void)
{
	struct pfk__message m = {.type = PFK__MSG_FAIL}, got;
	int passed;

	begin();
	memset(m.text, 'x', sizeof(m.text));
	pfk__channel_send(fds[0], &m, -1);
	is_int(pfk__channel_receive(fds[1], &got, &passed), 1, "a long text");
	is_int(strnlen(got.text, sizeof(got.text)), sizeof(got.text) - 1,
	    "has an end");
	end("text");
}

/*
 * A packet that is no message: EPROTO, its descriptors are closed, the next one
 * is received.
 */
static void
refused(const void *m, size_t len, size_t descriptors, const char *name)
{
	struct pfk__message good = {.type = PFK__MSG_KEEP}, got;
	int passed = 0;

	begin();
	send_raw(m, len, fds[0], descriptors);
	pfk__channel_send(fds[0], &good, -1);
	errno = 0;
	ok(pfk__channel_receive(fds[1], &got, &passed) == -1 && errno == EPROTO,
	    "%s: EPROTO", name);
	is_int(passed, -1, "%s: no descriptor", name);
	is_int(pfk__channel_receive(fds[1], &got, &passed), 1,
	    "%s: the next is well", name);
	end(name);
}

static void
test_garbage(void)
{
	struct pfk__message m = {.type = PFK__MSG_READY};
	refused(&m, 1, 0, "one byte");
	refused(&m, PFK__MESSAGE_MIN - 1, 0, "too short");
	refused(&m, PFK__MESSAGE_MIN - 1, 1, "too short, with a descriptor");
	refused(&m, sizeof(m), 2, "two descriptors");
	refused(&m, sizeof(m), 8, "eight descriptors");
	refused(&m, sizeof(m), 9, "more than there is room for");
	refused(&m, sizeof(m), 32, "32 descriptors");
	m.type = 0;
	refused(&m, sizeof(m), 0, "type 0");
}

/* Another version has more or less room for the text, and messages of its own. */
static void
test_versions(void)
{
	struct pfk__message m = {.type = PFK__MSG_TYPES + 1}, got;
	char big[sizeof(m) + 100] = {0};
	int passed;

	begin();
	is_int(PFK__MSG_LET_GO, 19,
	    "the messages keep their numbers: a new one comes behind LET_GO");
	memset(m.text, 'x', sizeof(m.text));
	memcpy(big, &m, sizeof(m));
	send_raw(big, sizeof(big), fds[0], 1);
	is_int(pfk__channel_receive(fds[1], &got, &passed), 1, "longer");
	ok(got.type == m.type && passed != -1 &&
		strnlen(got.text, sizeof(got.text)) == sizeof(got.text) - 1,
	    "as much as fits");
	close(passed);
	send_raw(&m, PFK__MESSAGE_MIN + 2, fds[0], 0);
	is_int(pfk__channel_receive(fds[1], &got, &passed), 1, "shorter");
	is_str(got.text, "xx", "no rest of the last one");
	is_int(pfk__msg_in_version(PFK__MSG_STARTED, 1), 9, "1 is the same...");
	is_int(pfk__msg_in_version(PFK__MSG_DRAIN, 1), 11, "... but LATER");
	is_int(pfk__msg_of_version(11, 1), PFK__MSG_DRAIN, "and back");
	is_int(pfk__msg_in_version(PFK__MSG_DRAIN, PFK__KNOCK_VERSION),
	    PFK__MSG_DRAIN, "no other has other numbers");
	end("versions");
}

/* No room: the message itself is there, and the next one too. */
static void
test_no_room(void)
{
	struct pfk__message m = {.type = PFK__MSG_DRAIN, .how = PFK_DRAIN_STOP},
			    got;
	struct rlimit old, none = {0};
	int passed = 0, rc;

	begin();
	pfk__channel_send(fds[0], &m, fds[0]);
	pfk__channel_send(fds[0], &m, -1);
	getrlimit(RLIMIT_NOFILE, &old);
	none.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_NOFILE, &none);
	errno = 0;
	rc = pfk__channel_receive(fds[1], &got, &passed);
	ok(rc == -1 && errno == EMFILE, "no room for a descriptor: EMFILE");
	ok(got.type == PFK__MSG_DRAIN && got.how == PFK_DRAIN_STOP &&
		passed == -1,
	    "its message is whole");
	is_int(pfk__channel_receive(fds[1], &got, &passed), 1,
	    "the next needs none");
	setrlimit(RLIMIT_NOFILE, &old);
	end("no room");
}

static void
test_end(void)
{
	struct pfk__message m = {.type = PFK__MSG_READY}, got;
	int passed = 0;

	begin();
	pfk__channel_send(fds[1], &m, fds[1]);
	pfk__channel_send(fds[1], &m, -1);
	close(fds[1]);
	is_int(pfk__channel_receive(fds[0], &got, &passed), 1,
	    "a message sent before the end comes");
	close(passed);
	is_int(pfk__channel_receive(fds[0], &got, &passed), 1, "all of it");
	is_int(pfk__channel_receive(fds[0], &got, &passed), 0, "then the end");
	is_int(passed, -1, "without a descriptor");
	is_int(pfk__channel_receive(fds[0], &got, &passed), 0, "and again");
	errno = 0;
	ok(pfk__channel_send(fds[0], &m, -1) == -1 && errno == EPIPE,
	    "nobody hears: EPIPE, no signal");
	fds[1] = -1;
	end("end");

	/* The other side dies with a message unread. */
	begin();
	pfk__channel_send(fds[0], &m, fds[0]);
	close(fds[1]);
	is_int(pfk__channel_receive(fds[0], &got, &passed), 0,
	    "a death that loses messages is an end too");
	fds[1] = -1;
	end("death");
}

/* A peer that does not read; once it does, there is room. */
static void
test_full(void)
{
	struct pfk__message m = {.type = PFK__MSG_READY}, got;
	int pair[2], n = 0, passed;

	pfk__channel_pair(pair);
	while (pfk__channel_try(pair[0], &m, -1) == 0)
		n++;
	is_int(errno, EAGAIN, "full after %d messages: EAGAIN", n);
	is_int(pfk__channel_send(pair[0], &m, -1), -1, "full after a second");
	is_int(errno, EAGAIN, "EAGAIN");
	while (n-- > 0)
		is_int(pfk__channel_receive(pair[1], &got, &passed), 1, "read");
	is_int(pfk__channel_try(pair[0], &m, -1), 0, "there is room again");
	close(pair[0]);
	close(pair[1]);
}

int
main(void)
{
	test_round_trip();
	test_text();
	test_garbage();
	test_versions();
	test_no_room();
	test_end();
	test_full();
	return done_testing();
}
