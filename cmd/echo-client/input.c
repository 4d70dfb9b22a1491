/*
 * input.c: standard input and output, for the message `-`, and the answers to
 * other messages on a terminal.
 *
 * One piece of input is in memory at a time, read when the one before is on its
 * way.  Output waits for its reader: until then nothing else is read from the
 * server either.  The descriptors' flags are left alone, for others have them
 * too.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

static void
fail(struct client *c)
{
	client_fail(c, EXIT_LOST, "OTHER", "standard input: %s",
	    strerror(errno));
}

static void
fill(struct client *c)
{
	struct input *in = &c->input;
	ssize_t n;

	do {
		n = read(STDIN_FILENO, in->buf, CHUNK_BYTES);
	} while (n == -1 && errno == EINTR);
	if (n == -1 && errno == EAGAIN)
		return;
	if (n == -1)
		fail(c);
	in->at = 0;
	in->len = n > 0 ? (size_t)n : 0;
	in->ended = n <= 0;
	if (in->ended)
		pfk_io_cancel(&in->io);
}

static void
on_input(void *arg, unsigned ready)
{
	struct client *c = arg;

	if (ready == PFK_FAULT && !c->input.ready) {
		/* epoll(7) has no plain files; a closed pipe reads as one. */
		c->input.ready = true;
		pfk_io_cancel(&c->input.io);
	} else {
		pfk_io_want(c->input.io, 0);
		fill(c);
	}
	if (!c->over)
		c->o.mode->pump(c);
}

const void *
input_next(struct client *c, size_t *len)
{
	struct input *in = &c->input;

	if (in->buf == NULL) {
		in->buf = malloc(CHUNK_BYTES);
		if (in->buf != NULL)
			in->io = pfk_io_add(c->loop, STDIN_FILENO, 0, on_input,
			    c);
		if (in->io == NULL) {
			fail(c);
			return NULL;
		}
	}
	if (in->len == 0 && in->ready && !in->ended)
		fill(c);
	else if (in->len == 0 && in->io != NULL)
		pfk_io_want(in->io, PFK_READ);
	*len = in->len;
	return in->len > 0 ? in->buf + in->at : NULL;
}

void
input_used(struct client *c, size_t n)
{
	c->input.at += n;
	c->input.len -= n;
}

void
input_close(struct client *c)
{
	pfk_io_cancel(&c->input.io);
	free(c->input.buf);
	c->input.buf = NULL;
}

ssize_t
input_all(void *buf, size_t room)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	size_t len = 0;

	while (len < room) {
		ssize_t n = read(STDIN_FILENO, (char *)buf + len, room - len);

		if (n == 0)
			break;
		/* Somebody else's descriptor, too, may be non-blocking. */
		if (n == -1 && errno == EAGAIN)
			poll(&p, 1, -1);
		else if (n == -1 && errno != EINTR)
			return -1;
		len += n > 0 ? (size_t)n : 0;
	}
	return (ssize_t)len;
}

int
output(const void *buf, size_t len)
{
	struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
	const char *at = buf;

	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, at, len);

		if (n == -1 && errno == EAGAIN)
			poll(&p, 1, -1);
		else if (n == -1 && errno != EINTR)
			return -1;
		at += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

void
show_open(struct client *c)
{
	c->show = !c->o.input && !c->o.quiet && isatty(STDOUT_FILENO) == 1;
}

void
show(struct client *c, const void *buf, size_t len)
{
	if (!c->show || len == 0)
		return;
	c->line = ((const char *)buf)[len - 1] != '\n';
	if (output(buf, len) == 0)
		return;
	c->show = false;
	client_fail(c, EXIT_LOST, "OTHER", "standard output: %s",
	    strerror(errno));
}

void
show_line_end(struct client *c)
{
	if (c->line)
		show(c, "\n", 1);
}
