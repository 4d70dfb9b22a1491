/*
 * options.c: the option table.
 */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define YEAR 31536000
#define INT_MAX_BYTES 2147483647

static const struct mode *const modes[] = {&protocol_mode, &stream_mode,
    &poll_mode};

static int
parse_api(void *config, const char *value, bool first, const char **errstr)
{
	struct options *o = config;

	(void)first;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(value, modes[i]->name) == 0) {
			o->mode = modes[i];
			return 0;
		}
	}
	*errstr = "must be protocol, stream or poll";
	return -1;
}

static int
parse_nodelay(void *config, const char *value, bool first, const char **errstr)
{
	struct options *o = config;

	(void)first;
	o->nodelay = strcmp(value, "on") == 0;
	if (o->nodelay == 1 || strcmp(value, "off") == 0)
		return 0;
	*errstr = "must be on or off";
	return -1;
}

static int
parse_source(void *config, const char *value, bool first, const char **errstr)
{
	struct options *o = config;
	char host[PFK_HOST_SIZE];
	uint16_t port = 0;

	(void)first;
	if (pfk_host_split(value, host, &port, errstr) == -1)
		return -1;
	if (pfk_addr_parse(&o->source, host, port) == 0)
		return 0;
	*errstr = "must be a numeric address";
	return -1;
}

#define AT(field) .offset = offsetof(struct options, field)
#define FLAG .type = PFK_OPT_FLAG
#define INT(lo, hi) .type = PFK_OPT_INT, .min = (lo), .max = (hi)
#define SIZE .type = PFK_OPT_SIZE, .min = 1, .max = INT_MAX_BYTES
#define SECONDS .type = PFK_OPT_SECONDS, .value = "SEC", .min = 0, .max = YEAR
#define CUSTOM(p) .type = PFK_OPT_CUSTOM, .parse = (p)

const struct pfk_option client_options[] = {
    {0, "api", "protocol|stream|poll", CUSTOM(parse_api),
	.help = "the interface to use: callbacks, a reader and a writer, or "
		"a socket in a poll loop (stream)"},
    {'u', "udp", NULL, FLAG, AT(udp), .help = "datagrams; default: TCP"},
    {'p', "port", "PORT", INT(1, 65535), AT(port), .help = "(8888)"},
    {'4', "ipv4", NULL, FLAG, AT(ipv4), .help = "IPv4 only"},
    {'6', "ipv6", NULL, FLAG, AT(ipv6), .help = "IPv6 only"},
    {0, "count", "N", INT(1, INT_MAX_BYTES), AT(count),
	.help = "send the messages N times (1)"},
    {0, "interval", SECONDS, AT(interval_ns),
	.help = "time between two of these N times (0; with -u 1)"},
    {0, "verify", NULL, FLAG, AT(verify),
	.help = "compare the answers to standard input, too"},
    {0, "connect-timeout", SECONDS, AT(connect_timeout_ns),
	.help = "of look-up and connecting; 0: the system's (3.5)"},
    {0, "timeout", SECONDS, AT(timeout_ns),
	.help = "without a byte while an answer is due; 0: never (5.5)"},
    {0, "receive-buffer", "BYTES", SIZE, AT(receive_buffer),
	.help = "SO_RCVBUF (the system's)"},
    {0, "send-buffer", "BYTES", SIZE, AT(send_buffer),
	.help = "SO_SNDBUF (the system's)"},
    {0, "nodelay", "on|off", CUSTOM(parse_nodelay),
	.help = "TCP_NODELAY (on; with --api poll the system's)"},
    {0, "syn-retries", "N", INT(1, 127), AT(syn_retries),
	.help = "TCP_SYNCNT, how often to ask again for a connection (the "
		"system's)"},
    {0, "fastopen", NULL, FLAG, AT(fastopen),
	.help = "send the first message with the SYN (RFC 7413)"},
    {0, "reuse-port", NULL, FLAG, AT(reuse_port),
	.help = "SO_REUSEPORT, to share the source port"},
    {0, "source", "ADDR", CUSTOM(parse_source),
	.help = "address to send from: HOST or HOST:PORT (any)"},
    {'v', "verbose", NULL, FLAG, AT(verbose),
	.help = "log each step on standard error"},
    {'q', "quiet", NULL, FLAG, AT(quiet),
	.help = "no answer on a terminal, no summary after more than one "
		"datagram"},
    {'V', "version", NULL, FLAG, AT(version),
	.help = "print the version and exit"},
    {'h', "help", NULL, FLAG, AT(help), .help = "print this and exit"},
    {0},
};

void
options_init(struct options *o)
{
	*o = (struct options){.mode = &stream_mode,
	    .port = 8888,
	    .count = 1,
	    .nodelay = PFK_UNSET,
	    .syn_retries = PFK_UNSET,
	    .interval_ns = UINT64_MAX,
	    .connect_timeout_ns = 3500 * PFK_MSEC_NS,
	    .timeout_ns = 5500 * PFK_MSEC_NS,
	    .receive_buffer = PFK_UNSET,
	    .send_buffer = PFK_UNSET};
}

/* A link-local address is of use with its interface only: fe80::1%eth0. */
static bool
lacks_zone(const char *host)
{
	struct pfk_addr a;

	return pfk_addr_parse(&a, host, 0) == 0 && a.sa.sa_family == AF_INET6 &&
	    a.in6.sin6_scope_id == 0 &&
	    (IN6_IS_ADDR_LINKLOCAL(&a.in6.sin6_addr) ||
		IN6_IS_ADDR_MC_LINKLOCAL(&a.in6.sin6_addr));
}

static const char *
contradiction(const struct options *o)
{
	if (o->ipv4 && o->ipv6)
		return "--ipv4 and --ipv6 exclude each other";
	if (o->input && o->n_messages > 1)
		return "- stands alone: leave out the other messages";
	if (o->input && o->count > 1)
		return "- can be read once: leave out --count";
	if (o->fastopen && o->input)
		return "--fastopen is for messages, not for -";
	if (o->udp && (o->fastopen || o->syn_retries != PFK_UNSET))
		return "--fastopen and --syn-retries are for TCP";
	if (o->source.len > 0 &&
	    ((o->ipv4 && o->source.sa.sa_family != AF_INET) ||
		(o->ipv6 && o->source.sa.sa_family != AF_INET6)))
		return "--source is of the other family";
	if (lacks_zone(o->host))
		return "a link-local host needs its interface, as in "
		       "fe80::1%eth0";
	return NULL;
}

/* The examples' messages. */
static void
default_messages(struct options *o)
{
	static const char *const hello[] = {"Hello World!"};
	static const char *const lines[] = {"data1\n", "data2\n"};
	static const char *const data[] = {"data"};

	o->n_messages = 1;
	o->messages = o->udp ? data : hello;
	if (!o->udp && o->mode == &poll_mode) {
		o->messages = lines;
		o->n_messages = 2;
	}
}

/* Nothing at all to be sent over TCP, however often. */
static bool
all_empty(const struct options *o)
{
	for (int i = 0; i < o->n_messages; i++) {
		if (o->messages[i][0] != '\0')
			return false;
	}
	return !o->udp;
}

int
options_complete(struct options *o, int n_operands, char *const *operands,
    char *err)
{
	const char *why;

	o->host = o->ipv6 ? "::1" : "127.0.0.1";
	/* `echo-client -` is standard input, not a host. */
	if (n_operands > 0 && strcmp(operands[0], "-") != 0) {
		o->host = operands[0];
		operands++;
		n_operands--;
	}
	o->messages = (const char *const *)operands;
	o->n_messages = n_operands;
	for (int i = 0; i < n_operands; i++)
		o->input = o->input || strcmp(operands[i], "-") == 0;
	if (n_operands == 0)
		default_messages(o);
	if (all_empty(o))
		o->count = 0;
	if (o->interval_ns == UINT64_MAX)
		o->interval_ns = o->udp ? PFK_SECOND_NS : 0;
	why = contradiction(o);
	if (why == NULL)
		return 0;
	snprintf(err, PFK_ERROR_SIZE, "%s; see %s --help", why, getprogname());
	return -1;
}
