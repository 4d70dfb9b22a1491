/*
 * log_line.c, lines.c, merge.c and origin.c: the form of a line, lines out of
 * any bytes, the order of lines of several writers, and the names of the
 * writers.
 */
#include "base/log_line.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "logger/inside.h"
#include "logger/lines.h"
#include "logger/merge.h"
#include "tap.h"

/* 2026-11-26T03:25:24.123Z */
#define TIME_MS UINT64_C(1795663524123)

static const char *
format(enum pfk_log_format form, bool timed, const char *message)
{
	static char buf[PFK__LINE_MAX + 1];
	struct pfk__line_style style = {.format = form, .timed = timed};
	struct pfk__line line = {.level = PFK_WARNING,
	    .process = "worker-0",
	    .pid = 7,
	    .time_ms = TIME_MS,
	    .message = message};
	size_t n = pfk__line_format(buf, &style, &line);

	if (!ok(n > 0 && n <= PFK__LINE_MAX && buf[n - 1] == '\n',
		"a line of %zu bytes", n))
		return "";
	buf[n - 1] = '\0';
	return buf;
}

static void
test_forms(void)
{
	is_str(format(PFK_LOG_TEXT, false, "a\n\x01"),
	    "[worker-0 (7)] a\\n\\x01", "text");
	is_str(format(PFK_LOG_TEXT, true, "a"),
	    "2026-11-26T03:25:24.123Z [worker-0 (7)] a", "text with a time");
	is_str(format(PFK_LOG_JSON, true, "a\"\\\n\x01\xff\xc3\xa9"),
	    "{\"time\":\"2026-11-26T03:25:24.123Z\",\"level\":\"warning\","
	    "\"process\":\"worker-0\",\"pid\":7,"
	    "\"message\":\"a\\\"\\\\\\n\\u0001\\\\xff\xc3\xa9\"}",
	    "JSON, where a stray byte is shown");
	is_str(format(PFK_LOG_JSON, false, "\xe0\x80\x80\xed\xa0\x80\xf5"),
	    "{\"level\":\"warning\",\"process\":\"worker-0\",\"pid\":7,"
	    "\"message\":\"\\\\xe0\\\\x80\\\\x80\\\\xed\\\\xa0\\\\x80\\\\xf5\"}",
	    "bytes that look like UTF-8 and are not");
	is_str(format(PFK_LOG_TEXT, false, "\xc3\xa9\xc2\xa0\xc2\x9b\x9b\xe2"),
	    "[worker-0 (7)] \xc3\xa9\xc2\xa0\\xc2\\x9b\\x9b\\xe2",
	    "controls of a terminal beyond ASCII, and stray bytes");
	is_str(format(PFK_LOG_JSON, false, "\xc2\x9b"),
	    "{\"level\":\"warning\",\"process\":\"worker-0\",\"pid\":7,"
	    "\"message\":\"\\\\xc2\\\\x9b\"}",
	    "in JSON");
	is_str(format(PFK_LOG_LOGFMT, false, "a \"b\"\t"),
	    "level=warning process=worker-0 pid=7 msg=\"a \\\"b\\\"\\x09\"",
	    "logfmt");
}

static void
test_long(void)
{
	char message[3000];
	const char *line;

	memset(message, '\x01', sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	line = format(PFK_LOG_JSON, true, message);
	is_str(line + strlen(line) - 8, "\\u0001\"}", "a long one has its end");
	memset(message, '\xe2', sizeof(message) - 1);
	line = format(PFK_LOG_LOGFMT, true, message);
	is_str(line + strlen(line) - 5, "\\xe2\"", "and no half escape");
}

/* records */

static char got[20000];

static void
see(void *arg, const struct pfk__relayed *line)
{
	size_t n = strlen(got);

	(void)arg;
	snprintf(got + n, sizeof(got) - n, "%d%s%.0d@%llu:%s|",
	    (int)line->level, line->keeper ? "k" : "", line->pid,
	    (unsigned long long)line->time_ns, line->message);
}

#define RELAYED(level, text) \
	"\001" level "-" \
	"00000000" \
	"00000000000000ff" text "\0"

/* In pieces of so many bytes. */
static const char *
feed(const char *bytes, size_t n, size_t piece)
{
	struct pfk__lines r = {0};

	got[0] = '\0';
	for (size_t i = 0; i < n; i += piece)
		pfk__lines_feed(&r, bytes + i, n - i < piece ? n - i : piece,
		    see, NULL);
	pfk__lines_end(&r, see, NULL);
	return got;
}

#define FEED(bytes, piece) feed(bytes, sizeof(bytes) - 1, piece)

static void
test_lines(void)
{
	static const char mixed[] = RELAYED("2", "one\ntwo")
	    RELAYED("3", "") "text\nhalf" RELAYED("0", "x") "\n\nend";
	static const char bad[] = "\001"
				  "9 no level\0"
				  "\001"
				  "\0" RELAYED("1", "good");
	char flood[5000];

	for (size_t piece = 1; piece < 60; piece += 7)
		is_str(FEED(mixed, piece),
		    "2@255:one\ntwo|3@255:|0@0:text|0@0:half|0@255:x|0@0:end|",
		    "relayed lines and text, by %zu bytes", piece);
	is_str(FEED(bad, 4), "0@0:9 no level|1@255:good|",
	    "a malformed relayed line is text");
	is_str(FEED("\0012k0000002a00000000000000ffhi\0", 9), "2k42@255:hi|",
	    "a keeper's, and its pid");
	memset(flood, 'x', sizeof(flood));
	feed(flood, sizeof(flood), sizeof(flood));
	ok(strlen(got) > sizeof(flood) && strlen(got) < sizeof(flood) + 50,
	    "text without an end is cut, not lost");
	flood[0] = PFK__RELAY_START;
	feed(flood, sizeof(flood), 100);
	ok(strlen(got) > sizeof(flood), "so is a relayed line without an end");
	srandom(1);
	for (int round = 0; round < 200; round++) {
		for (size_t i = 0; i < sizeof(flood); i++)
			flood[i] = (char)(random() % 5);
		feed(flood, sizeof(flood), 77);
	}
	pass("any bytes give lines");
}

/* merge */

static const char *
put_out(struct pfk__merge *m, uint64_t until)
{
	const struct pfk__merged *line;

	got[0] = '\0';
	while ((line = pfk__merge_next(m, until)) != NULL)
		see(NULL,
		    &(struct pfk__relayed){.level = line->level,
			.time_ns = line->time_ns,
			.message = m->texts + line->text});
	return got;
}

static void
add(struct pfk__merge *m, uint64_t time_ns, const char *text)
{
	pfk__merge_add(m, NULL,
	    &(struct pfk__relayed){.level = PFK_INFO,
		.time_ns = time_ns,
		.message = text});
}

static void
test_merge(void)
{
	struct pfk__merge *m = calloc(1, sizeof(*m));
	int n = 0;

	if (m == NULL)
		return;
	add(m, 20, "b");
	add(m, 30, "d");
	add(m, 10, "a");
	add(m, 20, "c");
	is_str(put_out(m, 20), "2@10:a|2@20:b|2@20:c|",
	    "in the order of times, then as they came");
	add(m, 25, "e");
	is_str(put_out(m, 29), "2@25:e|", "a later one is held");
	is_str(put_out(m, 30), "2@30:d|", "until its time");
	ok(pfk__merge_is_empty(m), "that is all");
	for (int round = 0; round < 50; round++) {
		while (pfk__merge_has_room(m))
			add(m, 1000 - (uint64_t)n++, "text");
		while (pfk__merge_next(m, UINT64_MAX) != NULL)
			n = 0;
	}
	ok(pfk__merge_is_empty(m) && m->used == 0, "its memory is used again");
	free(m);
}

/* origin */

static void
test_origin(void)
{
	struct pfk__source src = {.pid = getpid()};
	pid_t first = fork(), second;

	if (first == 0) {
		pause();
		_exit(0);
	}
	is_int(pfk__source_pid(&src, 0), src.pid, "no pid: the announced one");
	is_int(pfk__source_pid(&src, getppid()), src.pid,
	    "a living process of others is not believed");
	is_int(pfk__source_pid(&src, first), first, "a child is");
	is_int(pfk__source_pid(&src, 1), first, "process 1 is not");
	kill(first, SIGKILL);
	waitpid(first, NULL, 0);
	is_int(pfk__source_pid(&src, first), first, "nor forgotten at its end");
	second = fork();
	if (second == 0) {
		pause();
		_exit(0);
	}
	is_int(pfk__source_pid(&src, second), second, "nor by a second one");
	is_int(pfk__source_pid(&src, first), first, "whose lines may be late");
	is_int(pfk__source_pid(&src, 0), second, "text is of the latest");
	kill(second, SIGKILL);
	waitpid(second, NULL, 0);
}

int
main(void)
{
	test_forms();
	test_long();
	test_lines();
	test_merge();
	test_origin();
	return done_testing();
}
