/*
 * main.c: prefork-echo, a pre-forked TCP and UDP echo server.
 *
 * The library's pfk_main has the usual options; here are the others.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "echo.h"

/* Many share a network, as behind one router. */
#define NETWORK_SOURCES 10
#define UDP_RATE_MAX 100000000

static int
parse_udp_rate(void *config, const char *value, bool first, const char **errstr)
{
	struct echo_config *c = config;
	char text[64], *rest = text, *word;
	int n, network;

	(void)first;
	if (strlcpy(text, value, sizeof(text)) >= sizeof(text))
		goto bad;
	word = strsep(&rest, ":");
	n = (int)strtonum(word, 0, UDP_RATE_MAX, errstr);
	if (*errstr != NULL)
		goto bad;
	network = n * NETWORK_SOURCES;
	if (rest != NULL)
		network = (int)strtonum(rest, 0, UDP_RATE_MAX, errstr);
	if (*errstr != NULL || (n == 0 && rest != NULL))
		goto bad;
	c->udp_per_source = n;
	c->udp_per_network = network;
	return 0;
bad:
	*errstr = "it takes N[:NETWORK], datagrams a second up to 100000000";
	return -1;
}

static bool
format_udp_rate(const void *config, int i, char *buf, size_t size)
{
	const struct echo_config *c = config;

	if (c->udp_per_source == 0)
		strlcpy(buf, "0", size);
	else
		snprintf(buf, size, "%d:%d", c->udp_per_source,
		    c->udp_per_network);
	return i == 0;
}

#define AT(field) .offset = offsetof(struct echo_config, field)

static const struct pfk_option options[] = {
    {'1', "once", NULL, .type = PFK_OPT_FLAG, AT(once),
	.help = "TCP: echo the bytes of the first read, then close"},
    {0, "loop-guard", "on|off", .type = PFK_OPT_ONOFF, AT(loop_guard),
	.help = "leave datagrams unanswered that could start a loop between "
		"two servers (on)"},
    {0, "udp-rate", "N[:NETWORK]", .type = PFK_OPT_CUSTOM,
	.parse = parse_udp_rate, .format = format_udp_rate,
	.help = "datagrams a second per worker from one address and port, and "
		"from one IPv4 /24 or IPv6 /56 (ten times N); 0: no limit (0)"},
    {0},
};

/* UDP has no connection to close, and --once is for every address. */
static int
check(struct pfk_setup *s, char *err)
{
	const struct echo_config *c = s->config;

	(void)err;
	for (size_t i = 0; i < s->n_endpoints; i++) {
		struct pfk_endpoint *e = &s->endpoints[i];

		if (e->listen.kind == PFK_UDP)
			e->service = ECHO_UNTIL_END;
		else if (c->once)
			e->service = ECHO_ONCE;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct echo_config defaults = {.loop_guard = true};
	const struct pfk_program program = {
	    .version = PFK_VERSION,
	    .about = "Echo TCP and UDP (RFC 862) from pre-forked workers.",
	    .example = "-w 4 -p 8888",
	    .services = echo_services,
	    .port = 8888,
	    .idle_ns = 300 * PFK_SECOND_NS,
	    .sandbox = PFK_SANDBOX_AUTO,
	    .options = options,
	    .config_bytes = sizeof(defaults),
	    .defaults = &defaults,
	    .check = check,
	    .worker_init = echo_worker_init,
	    .worker_exit = echo_worker_exit,
	};

	return pfk_main(&program, argc, argv);
}
