/*
 * main.c: load [options] -p PORT tcp|connect|udp
 *
 *  -P PID,...  the server's processes, which are measured
 *  -n N        connections or sockets that are used (1)
 *  -i N        and idle connections besides (0)
 *  -z BYTES    size of a message (64)
 *  -k N        messages on the way on each (1)
 *  -a N        on the way in all, each connection in its turn (all)
 *  -s N        datagrams a call, by UDP_SEGMENT (1: no segments)
 *  -c N        N messages, instead of a time
 *  -w SEC      warm-up (0.1)
 *  -d SEC      time measured (0.5)
 *
 * Prints one JSON object.  Exit status 0 when all that was sent came back as it
 * was sent, 1 when not.
 */
#include <arpa/inet.h>
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"

#define PATIENCE 30 /* seconds more than the run takes */

struct load load = {.o = {.mode = "",
			.pids = "",
			.connections = 1,
			.size = 64,
			.depth = 1,
			.segments = 1,
			.warm_ns = NS / 10,
			.run_ns = NS / 2}};
char pattern[SPAN + WINDOW_MAX];

static void
fill_pattern(void)
{
	uint32_t x = 1;

	for (size_t i = 0; i < sizeof(pattern); i++) {
		x = i % SPAN == 0 ? 1 : x * 1664525 + 1013904223;
		pattern[i] = (char)(x >> 24);
	}
}

/* Bytes of a stream that begin at the offset: right at both ends? */
bool
as_sent(const char *buf, size_t len, uint64_t offset)
{
	size_t ends = len < 16 ? len : 16;

	return memcmp(buf, pattern + offset % SPAN, ends) == 0 &&
	    memcmp(buf + len - ends, pattern + (offset + len - ends) % SPAN,
		ends) == 0;
}

static void
on_alarm(int signo)
{
	static const char text[] = "load: it does not end\n";

	(void)signo;
	if (write(2, text, sizeof(text) - 1) == -1)
		_exit(3);
	_exit(2);
}

static unsigned
number(const char *text, unsigned max)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text == '\0' || *end != '\0' || n > max)
		errx(2, "bad number: %s", text);
	return (unsigned)n;
}

static uint64_t
seconds(const char *text)
{
	char *end;
	double s = strtod(text, &end);

	if (*text == '\0' || *end != '\0' || !(s >= 0 && s < 1e6))
		errx(2, "bad time: %s", text);
	return (uint64_t)(s * 1e9);
}

static void
parse(int argc, char *argv[])
{
	struct options *o = &load.o;
	int c;

	o->to.sin_family = AF_INET;
	o->to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	while ((c = getopt(argc, argv, "p:P:n:i:z:k:a:s:c:w:d:")) != -1) {
		if (c == 'p')
			o->to.sin_port = htons((uint16_t)number(optarg, 65535));
		else if (c == 'P')
			o->pids = optarg;
		else if (c == 'n')
			o->connections = number(optarg, 60000);
		else if (c == 'i')
			o->idle = number(optarg, 60000);
		else if (c == 'z')
			o->size = number(optarg, WINDOW_MAX);
		else if (c == 'k')
			o->depth = number(optarg, 1024);
		else if (c == 'a')
			o->active = number(optarg, 60000);
		else if (c == 's')
			o->segments = number(optarg, 64);
		else if (c == 'c')
			o->count = number(optarg, 1000000000);
		else if (c == 'w')
			o->warm_ns = seconds(optarg);
		else if (c == 'd')
			o->run_ns = seconds(optarg);
		else
			exit(2);
	}
	if (optind + 1 != argc || o->connections == 0 || o->size < 16 ||
	    o->depth == 0 || o->segments == 0 ||
	    (uint64_t)o->size * o->depth > WINDOW_MAX)
		errx(2, "bad usage");
	o->mode = argv[optind];
}

int
main(int argc, char *argv[])
{
	struct options *o = &load.o;

	parse(argc, argv);
	fill_pattern();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGALRM, on_alarm);
	alarm(PATIENCE + (unsigned)((o->warm_ns + o->run_ns) / NS));
	if (strcmp(o->mode, "tcp") == 0)
		run_tcp();
	else if (strcmp(o->mode, "connect") == 0)
		run_connect();
	else if (strcmp(o->mode, "udp") == 0)
		run_udp();
	else
		errx(2, "bad mode: %s", o->mode);
	report();
	return load.lost > 0 || load.messages == 0;
}
