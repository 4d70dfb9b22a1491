/*
 * options.c: the library's options, and the values with a form of their own.
 *
 * Layer: main.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "main/settings.h"

/* strtonum(3) takes blanks and a plus sign, too. */
static bool
digits_only(const char *value)
{
	return value[strspn(value, "0123456789")] == '\0';
}

static int
parse_workers(void *settings, const char *value, bool first,
    const char **errstr)
{
	struct pfk__settings *s = settings;
	int n = 0;

	(void)first;
	if (strcmp(value, "auto") != 0) {
		n = (int)strtonum(value, 1, PFK_WORKERS_MAX, errstr);
		if (*errstr != NULL || !digits_only(value)) {
			*errstr = "it takes auto or 1 to 1024";
			return -1;
		}
	}
	s->workers = n;
	return 0;
}

static bool
format_workers(const void *settings, int i, char *buf, size_t size)
{
	const struct pfk__settings *s = settings;

	if (s->workers == 0)
		strlcpy(buf, "auto", size);
	else
		snprintf(buf, size, "%d", s->workers);
	return i == 0;
}

static int
keepalive_number(char **rest, int max, int *to, const char **errstr)
{
	char *word = strsep(rest, ":");

	if (word == NULL)
		return 0;
	*to = (int)strtonum(word, 1, max, errstr);
	if (*errstr == NULL && digits_only(word))
		return 0;
	*errstr = "it takes off or IDLE[:INTERVAL[:COUNT]], seconds up to "
		  "32767 and a count up to 127";
	return -1;
}

static int
parse_keepalive(void *settings, const char *value, bool first,
    const char **errstr)
{
	struct pfk_sockopts *o = &((struct pfk__settings *)settings)->keepalive,
			    k;
	char text[64], *rest = text;

	(void)first;
	pfk_sockopts_init(&k);
	k.keepalive = strcmp(value, "off") != 0;
	if (strlcpy(text, value, sizeof(text)) >= sizeof(text)) {
		*errstr = "it takes off or IDLE[:INTERVAL[:COUNT]]";
		return -1;
	}
	/* tcp(7) has no bounds; the kernel has these. */
	if (k.keepalive &&
	    (keepalive_number(&rest, 32767, &k.keep_idle, errstr) == -1 ||
		keepalive_number(&rest, 32767, &k.keep_interval, errstr) ==
		    -1 ||
		keepalive_number(&rest, 127, &k.keep_count, errstr) == -1))
		return -1;
	if (k.keepalive && rest != NULL) {
		*errstr = "it takes off or IDLE[:INTERVAL[:COUNT]]";
		return -1;
	}
	*o = k;
	return 0;
}

static bool
format_keepalive(const void *settings, int i, char *buf, size_t size)
{
	const struct pfk_sockopts *o = &((const struct pfk__settings *)settings)
					    ->keepalive;
	int n;

	if (i > 0 || o->keepalive == PFK_UNSET)
		return false;
	if (o->keepalive == 0) {
		strlcpy(buf, "off", size);
		return true;
	}
	n = snprintf(buf, size, "%d", o->keep_idle);
	if (o->keep_interval != PFK_UNSET)
		n += snprintf(buf + n, size - (size_t)n, ":%d",
		    o->keep_interval);
	if (o->keep_count != PFK_UNSET)
		snprintf(buf + n, size - (size_t)n, ":%d", o->keep_count);
	return true;
}

#define CONNECTIONS_MAX 10000000

static int
parse_per_source(void *field, const char *value, bool first,
    const char **errstr)
{
	int *n = field;

	(void)first;
	*n = PFK__PER_SOURCE_AUTO;
	if (strcmp(value, "auto") == 0)
		return 0;
	*n = (int)strtonum(value, 0, CONNECTIONS_MAX, errstr);
	if (*errstr == NULL && value[0] >= '0' && value[0] <= '9')
		return 0;
	*errstr = "it takes a number from 0 to 10000000, or auto";
	return -1;
}

static bool
format_per_source(const void *field, int i, char *buf, size_t size)
{
	const int *n = field;

	if (*n == PFK__PER_SOURCE_AUTO)
		strlcpy(buf, "auto", size);
	else
		snprintf(buf, size, "%d", *n);
	return i == 0;
}

/* The index of the value among n names, or -1. */
static int
find_name(const char *const *names, int n, const char *value)
{
	for (int i = 0; i < n; i++) {
		if (strcmp(names[i], value) == 0)
			return i;
	}
	return -1;
}

static const char *const formats[] = {
    [PFK_LOG_TEXT] = "text",
    [PFK_LOG_JSON] = "json",
    [PFK_LOG_LOGFMT] = "logfmt",
};

static int
parse_log_format(void *settings, const char *value, bool first,
    const char **errstr)
{
	int i = find_name(formats, 3, value);

	(void)first;
	if (i != -1)
		((struct pfk__settings *)settings)->log_format =
		    (enum pfk_log_format)i;
	else
		*errstr = "it takes text, json or logfmt";
	return i != -1 ? 0 : -1;
}

static bool
format_log_format(const void *settings, int i, char *buf, size_t size)
{
	strlcpy(buf,
	    formats[((const struct pfk__settings *)settings)->log_format],
	    size);
	return i == 0;
}

static const char *const times[] = {
    [PFK_LOG_TIME_AUTO] = "auto",
    [PFK_LOG_TIME_ON] = "on",
    [PFK_LOG_TIME_OFF] = "off",
};

static int
parse_log_time(void *settings, const char *value, bool first,
    const char **errstr)
{
	int i = find_name(times, 3, value);

	(void)first;
	if (i != -1)
		((struct pfk__settings *)settings)->log_time =
		    (enum pfk_log_time)i;
	else
		*errstr = "it takes auto, on or off";
	return i != -1 ? 0 : -1;
}

static bool
format_log_time(const void *settings, int i, char *buf, size_t size)
{
	strlcpy(buf, times[((const struct pfk__settings *)settings)->log_time],
	    size);
	return i == 0;
}

const char *const pfk__sandbox_names[] = {
    [PFK_SANDBOX_OFF] = "off",
    [PFK_SANDBOX_AUTO] = "auto",
    [PFK_SANDBOX_ON] = "on",
};

static int
parse_sandbox(void *settings, const char *value, bool first,
    const char **errstr)
{
	int i = find_name(pfk__sandbox_names, 3, value);

	(void)first;
	if (i != -1)
		((struct pfk__settings *)settings)->sandbox = (enum pfk_sandbox)
		    i;
	else
		*errstr = "it takes auto, on or off";
	return i != -1 ? 0 : -1;
}

static bool
format_sandbox(const void *settings, int i, char *buf, size_t size)
{
	const struct pfk__settings *s = settings;

	strlcpy(buf, pfk__sandbox_names[s->sandbox], size);
	return i == 0;
}

static int
parse_poller(void *settings, const char *value, bool first, const char **errstr)
{
	struct pfk__settings *s = settings;
	char *copy;

	(void)first;
	if (strcmp(value, "auto") != 0 && strcmp(value, "epoll") != 0 &&
	    strcmp(value, "poll") != 0) {
		*errstr = "it takes epoll, poll or auto";
		return -1;
	}
	copy = strdup(value);
	if (copy == NULL) {
		*errstr = "out of memory";
		return -1;
	}
	free(s->poller);
	s->poller = copy;
	return 0;
}

static bool
format_poller(const void *settings, int i, char *buf, size_t size)
{
	strlcpy(buf, ((const struct pfk__settings *)settings)->poller, size);
	return i == 0;
}

#define AT(field) .offset = offsetof(struct pfk__settings, field)
#define FLAG .type = PFK_OPT_FLAG
#define ONOFF .type = PFK_OPT_ONOFF, .value = "on|off"
#define STRING .type = PFK_OPT_STRING
#define INT(lo, hi) .type = PFK_OPT_INT, .min = (lo), .max = (hi)
#define BYTES(lo, hi) \
	.type = PFK_OPT_SIZE, .value = "BYTES", .min = (lo), .max = (hi)
#define SECONDS(lo, hi) \
	.type = PFK_OPT_SECONDS, .value = "SEC", .min = (lo), .max = (hi)
#define CUSTOM(p, f) .type = PFK_OPT_CUSTOM, .parse = (p), .format = (f)
#define ARGV_ONLY .flags = PFK_OPT_ARGV_ONLY
#define YEAR 31536000
#define INT_MAX_BYTES 2147483647

const struct pfk_option pfk__main_options[] = {
    {'w', "workers", "N|auto", CUSTOM(parse_workers, format_workers),
	.help = "number of workers; auto: the CPUs this process may use"},
    {'p', "port", "PORT", INT(0, 65535), AT(port),
	.help = "TCP and UDP port; 0: one free port for all"},
    {'b', "bind", "ADDR", CUSTOM(pfk__bind_parse, pfk__bind_format),
	.help = "* or PORT alone for every address; repeatable (localhost)"},
    {'4', "ipv4", NULL, FLAG, AT(ipv4), .help = "IPv4 only"},
    {'6', "ipv6", NULL, FLAG, AT(ipv6), .help = "IPv6 only"},
    {'c', "config", "FILE", STRING, ARGV_ONLY, AT(file),
	.help = "configuration file, read again on reload; the command "
		"line wins over it"},
    {'t', "test", NULL, FLAG, ARGV_ONLY, AT(test),
	.help = "check the configuration and exit"},
    {'T', "dump-config", NULL, FLAG, ARGV_ONLY, AT(dump),
	.help = "the same, and print the values in force"},
    {'s', "signal", "CMD", STRING, ARGV_ONLY, AT(signal),
	.help = "tell the master named by --pid-file: stop, quit, reload, "
		"reopen, upgrade"},
    {'P', "pid-file", "FILE", STRING, AT(pid_file),
	.help = "locked pid file, written once the service is ready (none)"},
    {'D', "daemon", NULL, FLAG, ARGV_ONLY, AT(daemon),
	.help = "detach once ready; log to syslog unless --log says "
		"otherwise"},
    {'l', "log", "TARGET", STRING, AT(log),
	.help = "- (standard error), a file, or syslog (-)"},
    {'u', "user", "USER[:GROUP]", STRING, AT(user),
	.help = "drop to it after the listeners are open (none)"},
    {0, "control", "PATH|off", STRING, AT(control),
	.help = "socket for prefork-ctl (NAME.sock in $RUNTIME_DIRECTORY, "
		"/run/prefork, $XDG_RUNTIME_DIR/prefork or /tmp/prefork-UID)"},
    {0, "name", "NAME", STRING, AT(name),
	.help = "of the service, for prefork-ctl (the program and the first "
		"address)"},
    {0, "control-group", "GROUP", STRING, AT(control_group),
	.help = "its members may read the status (none)"},
    {0, "exporter", "ADDR", STRING, AT(exporter),
	.help = "serve metrics and status by HTTP on HOST:PORT or :PORT, by "
		"prefork-exporter (none)"},
    {'n', "max-connections", "N", INT(1, CONNECTIONS_MAX), AT(max_connections),
	.help = "per worker; more wait in the accept queue (from "
		"RLIMIT_NOFILE)"},
    {'i', "idle-timeout", SECONDS(0, YEAR), AT(idle_ns),
	.help = "close a TCP connection after this time without traffic; "
		"0: never"},
    {'v', "verbose", NULL, FLAG, AT(verbose),
	.help = "log connections, and each recv and sent"},
    {'q', "quiet", NULL, FLAG, AT(quiet),
	.help = "log warnings and errors only"},
    {'V', "version", NULL, FLAG, ARGV_ONLY, AT(version),
	.help = "print the version and exit"},
    {'h', "help", NULL, FLAG, ARGV_ONLY, AT(help),
	.help = "print this and exit"},
    {0, "log-format", "text|json|logfmt",
	CUSTOM(parse_log_format, format_log_format),
	.help = "form of the log's lines (text)"},
    {0, "log-time", "auto|on|off", CUSTOM(parse_log_time, format_log_time),
	.help = "a time before each line; auto: in a file and on a terminal "
		"(auto)"},
    {0, "backlog", "N", INT(1, 2147483647), AT(backlog),
	.help = "length of the accept queue (net.core.somaxconn)"},
    {0, "receive-buffer", BYTES(1, INT_MAX_BYTES), AT(receive_buffer),
	.help = "SO_RCVBUF (TCP: the system's, UDP: 8M)"},
    {0, "send-buffer", BYTES(1, INT_MAX_BYTES), AT(send_buffer),
	.help = "SO_SNDBUF (TCP: the system's, UDP: 8M)"},
    {0, "unsent-limit", BYTES(0, INT_MAX_BYTES), AT(unsent_limit),
	.help = "TCP_NOTSENT_LOWAT: bytes that a connection keeps in the "
		"kernel while its peer has no room for them; 0: the system's "
		"(128k)"},
    {0, "nodelay", ONOFF, AT(nodelay), .help = "TCP_NODELAY (on)"},
    {0, "quickack", ONOFF, AT(quickack),
	.help = "TCP_QUICKACK, set again after each receive (off)"},
    {0, "defer-accept", ONOFF, AT(defer_accept),
	.help = "accept a connection when its first bytes have come, or after "
		"a second (off)"},
    {0, "keepalive", "off|IDLE[:INTERVAL[:COUNT]]",
	CUSTOM(parse_keepalive, format_keepalive),
	.help = "TCP keep-alive, in seconds (the system's)"},
    {0, "user-timeout", SECONDS(0, 2147483), AT(user_timeout_ns),
	.help = "TCP_USER_TIMEOUT; 0: the system's (0)"},
    {0, "fastopen", "N", INT(0, 65535), AT(fastopen),
	.help = "queue length of TCP Fast Open; 0: off (0)"},
    {0, "shutdown-timeout", SECONDS(0, YEAR), AT(shutdown_ns),
	.help = "bound of a graceful stop; 0: none (8)"},
    {0, "stop-delay", SECONDS(0, YEAR), AT(stop_delay_ns),
	.help = "serve on for this time before a graceful stop, reported as "
		"not ready (0)"},
    {0, "drain-timeout", SECONDS(0, YEAR), AT(drain_ns),
	.help = "bound for connections left over by a reload; 0: until they "
		"end, over 8 more reloads at most (0)"},
    {0, "worker-timeout", SECONDS(0, YEAR), AT(hang_ns),
	.help = "replace a worker after this time without a turn of its "
		"loop; 0: never (5)"},
    {0, "orphan-timeout", SECONDS(0, YEAR), AT(orphan_ns),
	.help = "when the master dies, its workers serve on for this time "
		"and wait for the next one; 0: they drain and end (60)"},
    {0, "keeper", ONOFF, AT(keeper),
	.help = "keep a worker's connections when it is killed, by a process "
		"that shares its descriptors (on)"},
    {0, "sandbox", "auto|on|off", CUSTOM(parse_sandbox, format_sandbox),
	.help = "confine workers; auto: as far as the kernel can; on: do not "
		"start with less"},
    {0, "poller", "epoll|poll|auto", CUSTOM(parse_poller, format_poller),
	.help = "event back-end (auto)"},
    {0, "coalesce", ONOFF, AT(coalesce),
	.help = "rest for a moment before each wait, while that makes it "
		"faster (on)"},
    {0, "max-per-source", "N|auto", CUSTOM(parse_per_source, format_per_source),
	AT(max_per_source),
	.help = "TCP connections to all workers from one IPv4 address or IPv6 "
		"/64; 0: no limit; auto: a quarter of -n for all workers, "
		"but none for loopback and without -n (auto)"},
    {0},
};
