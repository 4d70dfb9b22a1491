/*
 * main.c: echo-check, load and contract checks for echo servers.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"

#define EXIT_LOST 1
#define EXIT_NOT_STARTED 2

static int
cannot_write(void)
{
	pfk_complain("cannot write: %s", strerror(errno));
	return EXIT_NOT_STARTED;
}

static int
usage(void)
{
	printf("usage: %s [-146chquV] [-d SEC] [-n N] [-p PORT] [-r N] "
	       "[-t SEC] [-z BYTES]\n"
	       "           [HOST]\n"
	       "       %s --serve HOST[:PORT] --target "
	       "HOST[:PORT][/udp]...\n\n"
	       "Keep flows of numbered messages going against an echo server, "
	       "check every byte,\nand sort each loss.  HOST is 127.0.0.1 "
	       "unless given.  Exit status: 0 nothing\nlost, 1 something "
	       "lost, 2 could not start.\n\n",
	    getprogname(), getprogname());
	if (fflush(stdout) != 0 ||
	    pfk_options_usage(check_options, STDOUT_FILENO) == -1)
		return cannot_write();
	return EXIT_SUCCESS;
}

/* The words that echo-client uses too. */
static const char *
word(int error)
{
	switch (error) {
	case ETIMEDOUT:
		return "TIMEOUT";
	case ECONNREFUSED:
		return "REFUSED";
	case ECONNRESET:
		return "RESET";
	case PFK_ENOHOST:
		return "DNS";
	case ENETUNREACH:
	case EHOSTUNREACH:
	case EADDRNOTAVAIL:
		return "UNREACHABLE";
	default:
		return "OTHER";
	}
}

static int
run(struct check *c)
{
	signal(SIGPIPE, SIG_IGN);
	check_run(c);
	if (c->failed != 0) {
		pfk_complain("%s: cannot start: %s port %d: %s",
		    word(c->failed), c->o.host, c->o.port, c->why);
		return EXIT_NOT_STARTED;
	}
	report(c);
	if (fflush(stdout) != 0 || ferror(stdout))
		return cannot_write();
	return report_failed(c) ? EXIT_LOST : EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
	static struct check c;
	char err[PFK_ERROR_SIZE];
	int first, status;

	pfk_ensure_stdio();
	options_init(&c.o);
	first = pfk_options_argv(check_options, &c.o, argc, argv, err);
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
	status = c.o.serve != NULL ? probe_run(&c.o) : run(&c);
	options_free(&c.o);
	return status;
}
