/*
 * client.c: one client of the control socket: read its line, write its answer.
 *
 * Layer: process.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>

#include "base/received.h"
#include "process/control.h"
#include "process/kill.h"
#include "process/master.h"
#include "process/takeover.h"

#define REQUEST_NS (5 * PFK_SECOND_NS)
#define ANSWER_NS (5 * PFK_SECOND_NS)
#define RESULT_NS (3600 * PFK_SECOND_NS)
#define KILL_NS PFK_SECOND_NS

void
pfk__client_drop(struct pfk__client *c)
{
	struct pfk__control_socket *k = c->control;

	TAILQ_REMOVE(&k->clients, c, link);
	k->n_clients--;
	/* An upgrade may wait for its end. */
	if (k->master->trial.clients != NULL)
		pfk__master_wake(k->master);
	pfk_timer_cancel(&c->deadline);
	pfk_io_cancel(&c->io);
	/* Bytes beyond its line would turn the end into a reset. */
	pfk__close_emptied(c->fd);
	if (c->passed != -1)
		pfk__close_received(c->passed);
	free(c->answer);
	free(c);
}

/* answers */

void
pfk__client_write(struct pfk__client *c)
{
	while (c->sent < c->size) {
		ssize_t n = send(c->fd, c->answer + c->sent, c->size - c->sent,
		    MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN && c->io != NULL) {
			pfk_io_want(c->io, PFK_WRITE);
			return;
		}
		if (n == -1)
			break;
		c->sent += (size_t)n;
	}
	pfk__client_drop(c);
}

static void
on_deadline(void *arg)
{
	struct pfk__client *c = arg;

	if (c->answer != NULL)
		pfk__client_drop(c);
	else if (c->wish == PFK__WISH_KILL)
		pfk__kill_late(c);
	else if (c->wish != PFK__WISH_NONE)
		pfk__client_fail(c, EX_TEMPFAIL,
		    "no result yet; the command goes on");
	else
		pfk__client_fail(c, EX_USAGE,
		    "no whole line within 5 s; a request is one line");
}

static void
set_deadline(struct pfk__client *c, uint64_t ns)
{
	pfk_timer_set(&c->deadline, c->control->master->loop, ns, on_deadline,
	    c);
}

void
pfk__client_answer(struct pfk__client *c, char *answer, size_t size)
{
	c->wish = PFK__WISH_NONE;
	c->answer = answer;
	c->size = size;
	/*
	 * After the loop's end only the bytes that the kernel takes at once are
	 * sent.
	 */
	if (c->io != NULL)
		set_deadline(c, ANSWER_NS);
	pfk__client_write(c);
}

static void
answer_line(struct pfk__client *c, const char *head, const char *fmt,
    va_list ap)
{
	char text[2048], *line;
	int n;

	vsnprintf(text, sizeof(text), fmt, ap);
	/* One line, even if a reason has several. */
	for (char *at = text; (at = strchr(at, '\n')) != NULL;)
		*at = ' ';
	n = asprintf(&line, "%s%s\n", head, text);
	if (n == -1)
		pfk__client_drop(c);
	else
		pfk__client_answer(c, line, (size_t)n);
}

void
pfk__client_done(struct pfk__client *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	answer_line(c, "OK\n", fmt, ap);
	va_end(ap);
}

void
pfk__client_fail(struct pfk__client *c, int status, const char *fmt, ...)
{
	char head[24];
	va_list ap;

	snprintf(head, sizeof(head), "ERR %d ", status);
	va_start(ap, fmt);
	answer_line(c, head, fmt, ap);
	va_end(ap);
}

void
pfk__client_wait(struct pfk__client *c, enum pfk__wish wish, uint64_t number)
{
	c->wish = wish;
	c->number = number;
	set_deadline(c, wish == PFK__WISH_KILL ? KILL_NS : RESULT_NS);
}

/* requests */

/* The peer may have shut its write side only, and wait for its answer. */
static bool
is_gone(int fd)
{
	struct pollfd p = {.fd = fd};

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

static void
at_end(struct pfk__client *c)
{
	if (is_gone(c->fd))
		pfk__client_drop(c);
	else if (c->wish != PFK__WISH_NONE || c->answer != NULL)
		pfk_io_want(c->io, c->answer != NULL ? PFK_WRITE : 0);
	else
		pfk__client_fail(c, EX_USAGE,
		    "the request has no newline; is it cut?");
}

/* A client that waits has sent its line: the rest means nothing. */
static void
read_rest(struct pfk__client *c)
{
	char buf[4096];
	struct pfk__parcel p;
	ssize_t n = pfk__receive(c->fd, buf, sizeof(buf), &p);

	pfk__parcel_close(&p);
	if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR))
		at_end(c);
}

/* The first descriptor that comes along is kept, for a knock. */
static ssize_t
receive(struct pfk__client *c)
{
	struct pfk__parcel p;
	ssize_t n = pfk__receive(c->fd, c->line + c->len,
	    sizeof(c->line) - c->len, &p);

	if (c->passed == -1) {
		c->passed = p.fds[0];
		p.fds[0] = -1;
	}
	pfk__parcel_close(&p);
	return n;
}

static void
hear_knock(struct pfk__client *c)
{
	struct pfk__knock k;
	const char *why;
	int fd = c->passed;

	if (c->len < sizeof(k))
		return;
	memcpy(&k, c->line, sizeof(k));
	if (c->right == PFK__RIGHT_READ) {
		pfk__client_fail(c, EX_NOPERM,
		    "the knock came from a user that is not the workers'");
		return;
	}
	if (fd == -1) {
		pfk__client_fail(c, EX_USAGE, "a knock without a channel");
		return;
	}
	c->passed = -1;
	why = pfk__takeover_knock(c->control->master, &k, c->pid, c->uid, fd);
	if (why == NULL) {
		/* Free: so few workers, and none may wait for another one. */
		pfk__ration_begin(&c->control->ration);
		pfk__client_done(c, "taken over");
	} else {
		pfk__client_fail(c, EX_UNAVAILABLE, "%s", why);
	}
}

static void
read_line(struct pfk__client *c)
{
	ssize_t n = receive(c);
	char *end;

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		at_end(c);
		return;
	}
	c->len += (size_t)n;
	if (c->line[0] == PFK__CONTROL_BINARY) {
		hear_knock(c);
		return;
	}
	end = memchr(c->line, '\n', c->len);
	if (end == NULL && c->len == sizeof(c->line)) {
		pfk__client_fail(c, EX_USAGE,
		    "the request is over %zu bytes without a newline",
		    sizeof(c->line));
		return;
	}
	if (end == NULL)
		return;
	*end = '\0';
	if (strlen(c->line) != (size_t)(end - c->line))
		pfk__client_fail(c, EX_USAGE, "the request has a zero byte");
	else
		pfk__command_run(c, c->line);
}

static void
on_client(void *arg, unsigned ready)
{
	struct pfk__client *c = arg;
	struct pfk__control_socket *k = c->control;
	enum pfk__right right = c->right;

	pfk__ration_begin(&k->ration);
	if (c->answer != NULL && (ready & (PFK_WRITE | PFK_FAULT)) != 0)
		pfk__client_write(c);
	else if (c->wish != PFK__WISH_NONE)
		read_rest(c);
	else if (c->answer == NULL)
		read_line(c);
	pfk__control_charge(k, right);
}

int
pfk__client_start(struct pfk__client *c)
{
	c->io = pfk_io_add(c->control->master->loop, c->fd, PFK_READ, on_client,
	    c);
	if (c->io == NULL)
		return -1;
	TAILQ_INSERT_TAIL(&c->control->clients, c, link);
	c->control->n_clients++;
	set_deadline(c, REQUEST_NS);
	/* A line that is there already is not lost to the next newcomer. */
	read_line(c);
	return 0;
}
