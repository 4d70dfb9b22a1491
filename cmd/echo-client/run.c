/*
 * run.c: sessions, one after the other, and how a run fails.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

const char *
word_of(int error)
{
	switch (error) {
	case ETIMEDOUT:
		return "TIMEOUT";
	case ECONNREFUSED:
		return "REFUSED";
	case ECONNRESET:
	case EPIPE:
		return "RESET";
	case PFK_ENOHOST:
		return "DNS";
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
	case EADDRNOTAVAIL:
		return "UNREACHABLE";
	default:
		return "OTHER";
	}
}

void
session_over(struct client *c)
{
	c->over = true;
	pfk_loop_stop(c->loop);
}

void
client_timer(struct pfk_timer **t, struct pfk_loop *l, uint64_t ns,
    void (*cb)(void *arg), void *arg)
{
	if (pfk_timer_set(t, l, ns, cb, arg) == -1) {
		pfk_complain("cannot set a timer: %s", strerror(errno));
		exit(EXIT_NOT_STARTED);
	}
}

void
client_fail(struct client *c, int status, const char *word, const char *fmt,
    ...)
{
	char message[PFK_CAUSES_SIZE];
	va_list ap;

	session_over(c);
	if (c->status != 0)
		return;
	c->status = status;
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	pfk_complain("%s: %s", word, message);
}

void
client_not_connected(struct client *c, int error, const char *causes)
{
	client_fail(c, EXIT_NOT_STARTED, word_of(error), "%s port %d: %s",
	    c->o.host, c->o.port, causes != NULL ? causes : strerror(error));
}

static void
release(struct client *c)
{
	pfk_timer_cancel(&c->watch);
	pfk_timer_cancel(&c->pace);
	pfk_timer_cancel(&c->grace);
}

int
run_tcp(struct client *c)
{
	c->loop = pfk_loop_new(NULL);
	if (c->loop == NULL) {
		pfk_complain("OTHER: %s", strerror(errno));
		return EXIT_NOT_STARTED;
	}
	do {
		transfer_begin(c);
		c->o.mode->start(c);
		if (!c->over && pfk_loop_run(c->loop) == -1)
			client_fail(c, EXIT_LOST, "OTHER", "%s",
			    strerror(errno));
		release(c);
		c->o.mode->stop(c);
		/* The connection goes: the next may need its port. */
		if (c->again)
			pfk_loop_run(c->loop);
	} while (c->status == 0 && c->again);
	input_close(c);
	verify_free(&c->verify);
	/*
	 * Free the closed connections; their peers have ended, or do not
	 * matter.
	 */
	pfk_loop_drain(c->loop, PFK_DRAIN_NOW);
	pfk_loop_run(c->loop);
	pfk_loop_free(c->loop);
	return c->status;
}
