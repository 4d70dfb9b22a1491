/*
 * transport/input.c: messages of the input, however it comes in pieces, and bytes
 * that are left unconsumed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "event/loop.h"
#include "tap.h"
#include "unit.h"

#define LONG 1048576
#define MANY 200

static struct pfk_loop *loop;
static struct pfk_server *server;
static struct pfk_addr addr;
static struct pfk_transport *transport;
static char seen[4096]; /* each message, and a bar */
static size_t seen_len;
static int client, lost, calls, paused;
static void (*on_message)(const char *buf, size_t len);
static void (*on_made)(void);
static bool (*on_eof)(void);

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	transport = tr;
	if (on_made != NULL)
		on_made();
	return tr;
}

static void
received(void *self, const void *buf, size_t len)
{
	(void)self;
	calls++;
	if (seen_len + len + 2 < sizeof(seen)) {
		memcpy(seen + seen_len, buf, len);
		seen_len += len;
		seen[seen_len++] = '|';
		seen[seen_len] = '\0';
	}
	if (on_message != NULL)
		on_message(buf, len);
}

static bool
eof(void *self)
{
	(void)self;
	return on_eof != NULL && on_eof();
}

static void
pausing(void *self)
{
	(void)self;
	paused++;
}

static void
ended(void *self, int error)
{
	(void)self;
	(void)error;
	lost = 1;
	transport = NULL;
}

static const struct pfk_protocol protocol = {.connection_made = made,
    .data_received = received,
    .eof_received = eof,
    .pause_writing = pausing,
    .connection_lost = ended};

static void
begin(void (*at_made)(void), void (*at_message)(const char *, size_t))
{
	on_made = at_made;
	on_message = at_message;
	on_eof = NULL;
	seen_len = 0;
	seen[0] = '\0';
	lost = calls = paused = 0;
	loop = pfk_loop_new(NULL);
	server = pfk_serve(loop, unit_listen(&addr), &protocol, NULL, NULL);
	client = unit_connect(&addr);
	unit_settle(loop);
}

static void
end(const char *name)
{
	close(client);
	unit_run_until(loop, &lost, 1);
	pfk_server_close(&server);
	is_int(pfk_loop_run(loop), 0, "%s: the loop ends", name);
	pfk_loop_free(loop);
}

static void
put(const char *text)
{
	unit_write(client, text, strlen(text));
	unit_settle(loop);
}

/* Put the text in two pieces, split at each place in turn. */
static void
test_splits(void (*at_made)(void), void (*at_message)(const char *, size_t),
    const char *text, const char *expected, const char *name)
{
	size_t len = strlen(text);
	int wrong = 0;

	for (size_t i = 0; i <= len; i++) {
		char first[256];

		begin(at_made, at_message);
		snprintf(first, sizeof(first), "%.*s", (int)i, text);
		if (i > 0)
			put(first);
		if (i < len)
			put(text + i);
		if (strcmp(seen, expected) != 0 && wrong++ == 0)
			diag("%s, split at %zu: %s", name, i, seen);
		close(client);
		unit_run_until(loop, &lost, 1);
		pfk_server_close(&server);
		pfk_loop_run(loop);
		pfk_loop_free(loop);
	}
	is_int(wrong, 0, "%s: the same at each split", name);
}

static void
lines(void)
{
	pfk_receive_until(transport, '\n', 5);
}

static void
threes(void)
{
	pfk_receive_exactly(transport, 3);
}

/* A digit and a line feed, then so many bytes, as they come. */
static void
digit_then_bytes(const char *buf, size_t len)
{
	if (len == 2 && buf[1] == '\n' && buf[0] > '0')
		pfk_receive_exactly(transport, (size_t)(buf[0] - '0'));
	else
		lines();
}

/* Three bytes at a time, without asking for them. */
static void
leave_thirds(const char *buf, size_t len)
{
	(void)buf;
	seen_len -= len + 1;
	if (len >= 3) {
		memcpy(seen + seen_len, buf, 3);
		seen_len += 3;
		seen[seen_len++] = '|';
	}
	seen[seen_len] = '\0';
	pfk_unread(transport, len >= 3 ? len - 3 : len);
}

static void
test_unread(void)
{
	begin(NULL, leave_thirds);
	put("ab");
	is_int(calls, 1, "one call");
	is_str(seen, "", "unread: nothing is consumed");
	put("c");
	is_str(seen, "abc|", "unread: with more behind it");
	put("de");
	put("fgh");
	put("ijk");
	is_str(seen, "abc|def|ghi|", "unread: in order");
	is_int(pfk_unread(transport, 1), -1, "not outside of data_received");
	end("unread");
}

/* A first message as it comes, and lines behind it. */
static void
lines_from_now(const char *buf, size_t len)
{
	if (buf[0] == 'h')
		pfk_unread(transport, len - 1);
	lines();
}

static void
test_change(void)
{
	begin(NULL, lines_from_now);
	put("hab\ncd");
	put("\ne");
	/* The bytes that were left had been seen once. */
	is_str(seen, "hab\ncd|ab\n|cd\n|", "lines from the first call on");
	on_message = NULL;
	pfk_receive_any(transport);
	unit_settle(loop);
	put("f");
	is_str(seen + strlen("hab\ncd|ab\n|cd\n|"), "e|f|", "then as it comes");
	end("change");
}

/* pauses */

static void
pause_at_b(const char *buf, size_t len)
{
	(void)len;
	if (buf[0] == 'b')
		pfk_pause_reading(transport);
}

static void
test_pause(void)
{
	begin(lines, pause_at_b);
	put("a\nb\nc\nd\ne");
	is_str(seen, "a\n|b\n|", "paused: no more messages");
	put("\nf\n");
	is_str(seen, "a\n|b\n|", "paused: nor later");
	pfk_resume_reading(transport);
	is_str(seen, "a\n|b\n|", "not inside of pfk_resume_reading");
	unit_settle(loop);
	is_str(seen, "a\n|b\n|c\n|d\n|e\n|f\n|", "then all that have come");
	end("pause");
}

/* The end comes behind the messages that waited. */
static bool
note_eof(void)
{
	memcpy(seen + seen_len, "EOF", 4);
	return false;
}

static void
test_pause_and_end(void)
{
	begin(lines, pause_at_b);
	on_eof = note_eof;
	put("b\nc\n");
	shutdown(client, SHUT_WR);
	unit_settle(loop);
	is_str(seen, "b\n|", "paused: no end");
	pfk_resume_reading(transport);
	unit_settle(loop);
	is_str(seen, "b\n|c\n|EOF", "the end comes last");
	end("pause and end");
}

static void
close_at_b(const char *buf, size_t len)
{
	(void)len;
	if (buf[0] == 'b')
		pfk_close(transport);
}

static void
test_close(void)
{
	begin(lines, close_at_b);
	put("a\nb\nc\n");
	is_str(seen, "a\n|b\n|", "closed: no more messages");
	end("close");
}

static bool
ask_unconsumed(void)
{
	size_t len;
	const char *buf = pfk_unconsumed(transport, &len);

	is_int(len, 3, "the beginning of a message: length");
	is_mem(buf, "hal", 3, "the beginning of a message");
	return false;
}

static void
test_end(void)
{
	begin(lines, NULL);
	on_eof = ask_unconsumed;
	put("a\nhal");
	shutdown(client, SHUT_WR);
	unit_run_until(loop, &lost, 1);
	is_str(seen, "a\n|", "it is no message");
	end("end");
}

static void
join_at_b(const char *buf, size_t len)
{
	(void)len;
	if (buf[0] == 'b')
		pfk_join(transport, transport);
}

static void
test_join(void)
{
	char buf[8] = "";

	begin(lines, join_at_b);
	put("b\nrest");
	is_int(unit_read(client, buf, 4), 4, "joined: length");
	is_str(buf, "rest",
	    "joined: what came behind the message is passed on");
	end("join");
}

/* much */

static void
answer_much(const char *buf, size_t len)
{
	static char much[100000];

	(void)buf;
	(void)len;
	pfk_write(transport, much, sizeof(much));
}

static void
test_back_pressure(void)
{
	static char drop[65536];
	int most;

	begin(lines, answer_much);
	for (int i = 1; i < MANY; i++)
		unit_write(client, "a\n", 2);
	put("a\n");
	most = calls;
	ok(most < MANY, "%d of %d messages wait for a peer that does not read",
	    MANY - most, MANY);
	ok(pfk_write_buffered(transport) < 300000, "little is unsent");
	ok(paused > 0, "pause_writing is called");
	while (calls < MANY || pfk_write_buffered(transport) > 0) {
		if (recv(client, drop, sizeof(drop), MSG_DONTWAIT) == 0)
			break;
		unit_settle(loop);
	}
	is_int(calls, MANY, "all messages come");
	end("back-pressure");
}

static void
long_ones(void)
{
	pfk_receive_exactly(transport, LONG);
}

static size_t long_sum;

static void
add_up(const char *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		long_sum += (unsigned char)buf[i];
}

static void
test_long(void)
{
	char *text = malloc(LONG);
	size_t sent = 0;

	if (text == NULL)
		return;
	memset(text, 7, LONG);
	long_sum = 0;
	begin(long_ones, add_up);
	while (sent < 3u * LONG) {
		size_t at = sent % LONG;
		ssize_t n = send(client, text + at, LONG - at, MSG_DONTWAIT);

		sent += n > 0 ? (size_t)n : 0;
		unit_settle(loop);
	}
	is_int(calls, 3, "three messages of 1 MiB");
	is_int(long_sum, 3 * 7 * LONG, "whole");
	is_int(pfk_receive_exactly(transport, PFK_RECEIVE_MAX + 1), -1,
	    "not longer than PFK_RECEIVE_MAX");
	is_int(pfk_receive_until(transport, 0, 0), -1, "nor of no bytes");
	end("long");
	free(text);
}

/* A line, and then 100,000 bytes. */
#define VALUE 100000

static void
line_then_value(const char *buf, size_t len)
{
	(void)buf;
	if (len == VALUE)
		pfk_receive_until(transport, '\n', 16);
	else
		pfk_receive_exactly(transport, VALUE);
}

static void
small_lines(void)
{
	pfk_receive_until(transport, '\n', 16);
}

/* It is not read, kept, and put together, once such messages are known. */
static void
test_value_behind_line(void)
{
	static char text[VALUE + 2] = "x\n";
	int fds[2];

	/* Whose queue has no window. */
	unit_pair(fds);
	begin(small_lines, line_then_value);
	close(client);
	unit_run_until(loop, &lost, 1);
	client = fds[1];
	pfk_attach(loop, fds[0], &protocol, NULL);
	unit_settle(loop);
	lost = 0;
	for (int i = 1; i <= 3; i++) {
		uint64_t reads = loop->stats->counts[PFK__COUNT_MESSAGES_IN];

		is_int(unit_write(client, text, sizeof(text)), sizeof(text),
		    "a line and a value are sent together");
		unit_run_until(loop, &calls, 2 * i);
		reads = loop->stats->counts[PFK__COUNT_MESSAGES_IN] - reads;
		if (i == 1)
			ok(reads >= 2, "the first takes %d reads", (int)reads);
		else
			is_int(reads, 1, "another takes one");
	}
	end("value behind a line");
}

int
main(void)
{
	test_splits(lines, NULL, "a\nbb\n\nabcdefg\nc",
	    "a\n|bb\n|\n|abcde|fg\n|", "lines");
	test_splits(threes, NULL, "abcdefgh", "abc|def|", "threes");
	test_splits(lines, digit_then_bytes, "3\nabc1\nx0\n4\n\n\n\n\n2\nyz",
	    "3\n|abc|1\n|x|0\n|4\n|\n\n\n\n|2\n|yz|", "digit and bytes");
	test_unread();
	test_change();
	test_pause();
	test_pause_and_end();
	test_close();
	test_end();
	test_join();
	test_back_pressure();
	test_long();
	test_value_behind_line();
	return done_testing();
}
