/*
 * options.c: the option table.
 */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

#define UDP_MAX 65507
#define CONNECTIONS_DEFAULT 16
#define SOURCES_DEFAULT 250

#define AT(field) .offset = offsetof(struct options, field)
#define FLAG .type = PFK_OPT_FLAG
#define INT(lo, hi) .type = PFK_OPT_INT, .min = (lo), .max = (hi)
#define SECONDS(lo, hi) \
	.type = PFK_OPT_SECONDS, .value = "SEC", .min = (lo), .max = (hi)

const struct pfk_option check_options[] = {
    {'u', "udp", NULL, FLAG, AT(udp), .help = "datagrams; default: TCP"},
    {'1', "once", NULL, FLAG, AT(once),
	.help = "a connection for each message, which the server closes"},
    {'c', "connect", NULL, FLAG, AT(connect),
	.help = "a connection for each message, which we close"},
    {'p', "port", "PORT", INT(1, 65535), AT(port), .help = "(8888)"},
    {'4', "ipv4", NULL, FLAG, AT(ipv4), .help = "IPv4 only"},
    {'6', "ipv6", NULL, FLAG, AT(ipv6), .help = "IPv6 only"},
    {'n', "connections", "N", INT(1, 60000), AT(connections),
	.help = "flows: connections or UDP sockets at a time (16)"},
    {'z', "size", "BYTES", .type = PFK_OPT_SIZE, AT(size), .min = MESSAGE_MIN,
	.max = MESSAGE_MAX, .help = "of a message (64)"},
    {'r', "rate", "N", INT(0, 10000000), AT(rate),
	.help = "open loop: N messages a second; 0: closed loop, the next "
		"message follows the answer (0)"},
    {0, "pipeline", "N", INT(1, 1024), AT(pipeline),
	.help = "closed loop: N unanswered messages a flow (1)"},
    {'d', "duration", SECONDS(0, 31536000), AT(duration_ns),
	.help = "how long to send (10)"},
    {'t', "timeout", SECONDS(0, 3600), AT(timeout_ns),
	.help = "after this time without an answer a message is lost (5)"},
    {0, "sources", "N", INT(1, 60000), AT(sources),
	.help = "spread connections over N addresses from 127.0.0.1 on (250 "
		"with -1 or -c to 127.0.0.0/8, else 1)"},
    {0, "json", NULL, FLAG, AT(json), .help = "print one JSON object"},
    {0, "tap", NULL, FLAG, AT(tap), .help = "print TAP, for prove(1)"},
    {0, "serve", "HOST", .type = PFK_OPT_STRING, AT(serve),
	.help = "probe the targets until a signal, and show the counts to "
		"Prometheus at HOST:PORT (port 9489)"},
    {0, "target", "HOST", .type = PFK_OPT_CUSTOM, AT(targets),
	.parse = probe_parse, .format = probe_format,
	.help = "--serve: HOST, HOST:PORT, with /udp for datagrams; "
		"repeatable (port 8888)"},
    {0, "interval", SECONDS(0, 86400), AT(interval_ns),
	.help = "--serve: time between two messages to a target (1)"},
    {0, "plot", NULL, FLAG, AT(plot),
	.help = "draw the latencies and their course, too"},
    {0, "strict", NULL, FLAG, AT(strict),
	.help = "late answers, and datagrams doubled or reordered, change the "
		"exit status too"},
    {'q', "quiet", NULL, FLAG, AT(quiet), .help = "print errors only"},
    {'V', "version", NULL, FLAG, AT(version),
	.help = "print the version and exit"},
    {'h', "help", NULL, FLAG, AT(help), .help = "print this and exit"},
    {0},
};

void
options_init(struct options *o)
{
	*o = (struct options){.port = 8888,
	    .connections = CONNECTIONS_DEFAULT,
	    .size = 64,
	    .pipeline = 1,
	    .duration_ns = 10 * PFK_SECOND_NS,
	    .timeout_ns = 5 * PFK_SECOND_NS,
	    .interval_ns = PFK_SECOND_NS};
}

static const char *
probe_contradiction(const struct options *o, int n_operands)
{
	if (o->serve == NULL)
		return o->targets.n > 0 ? "--target is for --serve" : NULL;
	if (o->targets.n == 0)
		return "--serve needs a --target";
	if (n_operands > 0)
		return "--serve takes a --target in the place of HOST";
	if (o->interval_ns < 10 * PFK_MSEC_NS)
		return "--interval must be 0.01 or more";
	if (o->json || o->tap || o->plot || o->once || o->connect || o->udp)
		return "--serve has no report and no --udp: a --target may end "
		       "in /udp";
	return NULL;
}

static const char *
contradiction(const struct options *o, int n_operands)
{
	if (n_operands > 1)
		return "more than one HOST";
	if (o->ipv4 && o->ipv6)
		return "--ipv4 and --ipv6 exclude each other";
	if (o->json && o->tap)
		return "--json and --tap exclude each other";
	if (o->plot && (o->json || o->tap || o->quiet))
		return "--plot goes with the table: leave out --json, --tap "
		       "and --quiet";
	if (o->udp && (o->once || o->connect))
		return "--udp has no connections: leave out --once and "
		       "--connect";
	if (o->once && o->connect)
		return "--once and --connect exclude each other";
	if (o->udp && o->size > UDP_MAX)
		return "--size is more than a datagram holds (65507)";
	if (o->rate > 0 && o->pipeline > 1)
		return "--pipeline is for the closed loop: leave out --rate";
	if (o->duration_ns == 0)
		return "--duration must be more than 0";
	if (o->timeout_ns == 0)
		return "--timeout must be more than 0";
	return NULL;
}

static const char *
host_contradiction(const struct options *o, const char *host)
{
	struct pfk_addr a;

	if (pfk_addr_parse(&a, host, 0) == -1)
		return NULL;
	if (o->ipv4 && a.sa.sa_family != AF_INET)
		return "HOST is not an IPv4 address: leave out --ipv4";
	if (o->ipv6 && a.sa.sa_family != AF_INET6)
		return "HOST is not an IPv6 address: leave out --ipv6";
	if (o->sources > 1 && a.sa.sa_family != AF_INET)
		return "--sources are IPv4 addresses, and HOST is not one";
	return NULL;
}

int
options_complete(struct options *o, int n_operands, char **operands, char *err)
{
	const char *why = probe_contradiction(o, n_operands);
	const char *host = n_operands > 0 ? operands[0] : "127.0.0.1";

	if (o->ipv6 && n_operands == 0)
		host = "::1";
	if (why == NULL)
		why = contradiction(o, n_operands);
	if (why == NULL)
		why = host_contradiction(o, host);
	if (why != NULL) {
		snprintf(err, PFK_ERROR_SIZE, "%s; see %s --help", why,
		    getprogname());
		return -1;
	}
	if (o->sources == 0)
		o->sources = (o->once || o->connect) &&
			strncmp(host, "127.", 4) == 0
		    ? SOURCES_DEFAULT
		    : 1;
	o->host = strdup(host);
	if (o->host == NULL) {
		strlcpy(err, "out of memory", PFK_ERROR_SIZE);
		return -1;
	}
	return 0;
}

void
options_free(struct options *o)
{
	free(o->host);
	free(o->serve);
	probe_free(&o->targets);
}
