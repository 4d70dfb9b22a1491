/*
 * main.c: echo-client, four clients for echo servers.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"

static int
cannot_write(void)
{
	pfk_complain("OTHER: standard output: %s", strerror(errno));
	return EXIT_NOT_STARTED;
}

static int
usage(void)
{
	printf("usage: %s [-46hquvV] [--api protocol|stream|poll] [-p PORT] "
	       "[HOST [MESSAGE...]]\n\n"
	       "Send messages to an echo server and see that they come back.  "
	       "HOST is 127.0.0.1\nunless given.  The message - is standard "
	       "input to its end.  Its answer goes to\nstandard output, "
	       "those to other messages if that is a terminal.  Exit status:\n"
	       "0 all came back, 1 lost or wrong, 2 could not start or "
	       "connect.\n\n",
	    getprogname());
	if (fflush(stdout) != 0 ||
	    pfk_options_usage(client_options, STDOUT_FILENO) == -1)
		return cannot_write();
	return EXIT_SUCCESS;
}

/*
 * A socket must not become standard output because that was closed: a missing
 * descriptor is opened for the wrong direction, so that using it fails.
 */
static void
fill_standard_descriptors(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		int way = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;

		if (fcntl(fd, F_GETFD) != -1 || errno != EBADF)
			continue;
		/* The lowest free number is fd, which stays open. */
		/* cppcheck-suppress leakReturnValNotUsed */
		if (open("/dev/null", way) != fd)
			exit(EXIT_NOT_STARTED);
	}
}

static int
size_option(int64_t value)
{
	return (int)value;
}

static void
prepare(struct client *c)
{
	const struct options *o = &c->o;

	pfk_sockopts_init(&c->sockopts);
	c->sockopts.receive_buffer = size_option(o->receive_buffer);
	c->sockopts.send_buffer = size_option(o->send_buffer);
	c->sockopts.nodelay = o->nodelay;
	c->sockopts.syn_retries = o->syn_retries;
	c->sockopts.reuse_port = o->reuse_port ? 1 : PFK_UNSET;
	c->connect = (struct pfk_connect_options){.host = o->host,
	    .port = (uint16_t)o->port,
	    .family = o->ipv4 ? AF_INET
		: o->ipv6     ? AF_INET6
			      : AF_UNSPEC,
	    .source = o->source.len > 0 ? &o->source : NULL,
	    .sockopts = &c->sockopts,
	    .timeout_ns = o->connect_timeout_ns};
	pfk_log_set_level(o->verbose ? PFK_DEBUG : PFK_WARNING);
	if (o->verbose)
		pfk_log_set_process(getprogname());
}

int
main(int argc, char **argv)
{
	static struct client c;
	char err[PFK_ERROR_SIZE];
	int first;

	fill_standard_descriptors();
	signal(SIGPIPE, SIG_IGN);
	options_init(&c.o);
	first = pfk_options_argv(client_options, &c.o, argc, argv, err);
	if (first != -1 && c.o.help)
		return usage();
	if (first != -1 && c.o.version) {
		printf("%s %s\n", getprogname(), PFK_VERSION);
		return fflush(stdout) == 0 ? EXIT_SUCCESS : cannot_write();
	}
	if (first == -1 ||
	    options_complete(&c.o, argc - first, argv + first, err) == -1) {
		pfk_complain("%s", err);
		return EXIT_NOT_STARTED;
	}
	prepare(&c);
	show_open(&c);
	return c.o.udp ? run_udp(&c) : run_tcp(&c);
}
