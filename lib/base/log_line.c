/*
 * log_line.c: format one line of the log.
 *
 * Layer: base.
 */
#include "base/log_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "base/utf8.h"

static const char hex[] = "0123456789abcdef";

/* A line under construction; `end` leaves room for its last bytes. */
struct out {
	char *at;
	char *end;
};

static void
put(struct out *o, const char *s, size_t n)
{
	size_t room = (size_t)(o->end - o->at);

	if (n > room)
		n = room;
	memcpy(o->at, s, n);
	o->at += n;
}

static void
put_text(struct out *o, const char *s)
{
	put(o, s, strlen(s));
}

/* All of it or nothing: false, it does not fit. */
static bool
put_whole(struct out *o, const char *s, size_t n)
{
	if (n > (size_t)(o->end - o->at))
		return false;
	put(o, s, n);
	return true;
}

/* A control byte as \n or \xNN; its length in `text`. */
static size_t
escape_control(char *text, unsigned char c)
{
	text[0] = '\\';
	if (c == '\n') {
		text[1] = 'n';
		return 2;
	}
	text[1] = 'x';
	text[2] = hex[c >> 4];
	text[3] = hex[c & 15];
	return 4;
}

/*
 * The bytes of a character at s, or 0: it is a control character, which a terminal may
 * obey, or no UTF-8. The controls beyond ASCII are two bytes, C2 80 to C2 9F.
 */
static size_t
printable(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;
	bool control = *u < 0x20 || *u == 0x7f || (*u == 0xc2 && u[1] < 0xa0);

	return control ? 0 : pfk__utf8_length(u);
}

static void
put_plain(struct out *o, const char *s)
{
	char text[4];

	while (*s != '\0') {
		size_t n = printable(s);

		if (n > 0 ? !put_whole(o, s, n)
			  : !put_whole(o, text,
				escape_control(text, (unsigned char)*s)))
			return;
		s += n > 0 ? n : 1;
	}
}

/* One byte that cannot stand for itself between the quotes. */
static size_t
escape_quoted(char *text, unsigned char c, bool json)
{
	static const char prefix[] = {'\\', 'u', '0', '0'};
	size_t n;

	if (c == '"' || c == '\\') {
		text[0] = '\\';
		text[1] = (char)c;
		return 2;
	}
	/* JSON knows \u for characters only: a stray byte becomes \\xNN. */
	if (c >= 0x7f || !json || c == '\n') {
		if (json && c != '\n')
			*text++ = '\\';
		n = escape_control(text, c);
		return n + (json && c != '\n');
	}
	memcpy(text, prefix, sizeof(prefix));
	text[4] = hex[c >> 4];
	text[5] = hex[c & 15];
	return 6;
}

/* Between quotes; a byte that is no UTF-8 or a terminal's is shown as \xNN. */
static void
put_quoted(struct out *o, const char *s, bool json)
{
	char text[8];

	put_text(o, "\"");
	o->end -= 1;
	while (*s != '\0') {
		unsigned char c = (unsigned char)*s;
		size_t n = printable(s);

		if (n == 0 || c == '"' || c == '\\') {
			if (!put_whole(o, text, escape_quoted(text, c, json)))
				break;
			n = 1;
		} else if (!put_whole(o, s, n)) {
			break;
		}
		s += n;
	}
	o->end += 1;
	put_text(o, "\"");
}

/* RFC 3339, in UTC. */
static void
format_time(char *dst, size_t size, uint64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	char day[32] = "";
	struct tm tm;

	if (gmtime_r(&seconds, &tm) != NULL)
		strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(dst, size, "%s.%03uZ", day, (unsigned)(ms % 1000));
}

/* As syslog(3) writes to its daemon: RFC 3164, without the host. */
static void
put_syslog_header(struct out *o, const struct pfk__line *line)
{
	static const int priority[] = {LOG_ERR, LOG_WARNING, LOG_INFO,
	    LOG_DEBUG};
	time_t seconds = (time_t)(line->time_ms / 1000);
	char stamp[20] = "", text[80];
	struct tm tm;

	if (localtime_r(&seconds, &tm) != NULL)
		strftime(stamp, sizeof(stamp), "%h %e %T", &tm);
	snprintf(text, sizeof(text),
	    "<%d>%s %.32s: ", LOG_DAEMON | priority[line->level], stamp,
	    getprogname());
	put_text(o, text);
}

static const char *
level_name(enum pfk_level level)
{
	static const char *const names[] = {"error", "warning", "info",
	    "debug"};

	return names[level];
}

static void
put_fields(struct out *o, const struct pfk__line *line, const char *time,
    bool json)
{
	const char *process = line->process[0] != '\0' ? line->process
						       : getprogname();
	char text[32];

	if (time[0] != '\0') {
		put_text(o, json ? "\"time\":\"" : "time=");
		put_text(o, time);
		put_text(o, json ? "\"," : " ");
	}
	put_text(o, json ? "\"level\":\"" : "level=");
	put_text(o, level_name(line->level));
	put_text(o, json ? "\",\"process\":" : " process=");
	if (json || process[strcspn(process, " =\"\\")] != '\0')
		put_quoted(o, process, json);
	else
		put_plain(o, process);
	snprintf(text, sizeof(text), json ? ",\"pid\":%d," : " pid=%d ",
	    line->pid);
	put_text(o, text);
	put_text(o, json ? "\"message\":" : "msg=");
	put_quoted(o, line->message, json);
}

size_t
pfk__line_format(char *dst, const struct pfk__line_style *style,
    const struct pfk__line *line)
{
	struct out o = {.at = dst, .end = dst + PFK__LINE_MAX - 2};
	char time[40] = "", process[64];

	if (style->syslog)
		put_syslog_header(&o, line);
	if (style->timed)
		format_time(time, sizeof(time), line->time_ms);
	if (style->format == PFK_LOG_TEXT) {
		if (style->timed) {
			put_text(&o, time);
			put_text(&o, " ");
		}
		if (line->process[0] != '\0') {
			snprintf(process, sizeof(process), "[%s (%d)] ",
			    line->process, line->pid);
			put_plain(&o, process);
		}
		put_plain(&o, line->message);
	} else if (style->format == PFK_LOG_JSON) {
		put_text(&o, "{");
		o.end -= 1;
		put_fields(&o, line, time, true);
		o.end += 1;
		put_text(&o, "}");
	} else {
		put_fields(&o, line, time, false);
	}
	*o.at++ = '\n';
	return (size_t)(o.at - dst);
}
