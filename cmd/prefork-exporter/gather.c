/*
 * gather.c: ask all services at once, without a wait.
 *
 * A service that does not answer delays the others' answers by ANSWER_NS at most.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exporter.h"

/* Below Prometheus' own limit of 10 s. */
#define ANSWER_NS (3 * PFK_SECOND_NS)
#define RETRY_NS (20 * PFK_MSEC_NS)
/* 1,024 slots take 13 MB. */
#define ANSWER_MAX (32u << 20)

struct call {
	struct gather *gather;
	struct reply *reply;
	struct pfk_io *io;
	struct pfk_timer *retry;
	size_t size;
	bool ended;
};

struct gather {
	struct pfk_loop *loop;
	const char *request;
	void (*done)(void *arg);
	void *arg;
	struct pfk_timer *deadline;
	int n, open;
	struct reply replies[SERVICES_MAX];
	struct call calls[];
};

static const char *const requests[] = {[ASK_METRICS] = "1 metrics\n",
    [ASK_OPENMETRICS] = "1 metrics openmetrics\n",
    [ASK_STATUS] = "1 status json\n",
    [ASK_DOCTOR] = "1 doctor json\n"};

static void
all_ended(void *arg)
{
	struct gather *g = arg;

	pfk_timer_cancel(&g->deadline);
	g->done(g->arg);
}

static void
end(struct call *c, const char *error)
{
	pfk_io_cancel(&c->io);
	pfk_timer_cancel(&c->retry);
	if (c->reply->service.fd != -1)
		close(c->reply->service.fd);
	c->reply->service.fd = -1;
	c->ended = true;
	if (error != NULL) {
		free(c->reply->text);
		c->reply->text = NULL;
		strlcpy(c->reply->error, error, sizeof(c->reply->error));
	}
	/* From the loop and not from gather_start. */
	if (--c->gather->open == 0)
		pfk_timer_set(&c->gather->deadline, c->gather->loop, 0,
		    all_ended, c->gather);
}

/* "OK" and the text, or "ERR CODE TEXT". */
static void
judge(struct call *c)
{
	struct reply *r = c->reply;
	char *newline;

	if (r->len == 0 || strlen(r->text) != r->len) {
		end(c,
		    r->len == 0 ? "it closed the connection without an answer"
				: "its answer has a zero byte");
		return;
	}
	if (strncmp(r->text, "OK\n", 3) == 0) {
		r->len -= 3;
		memmove(r->text, r->text + 3, r->len + 1);
		end(c, NULL);
		return;
	}
	newline = strchr(r->text, '\n');
	if (newline != NULL)
		*newline = '\0';
	if (strncmp(r->text, "ERR ", 4) == 0) {
		char error[sizeof(r->error)];

		strlcpy(error, r->text + 4 + strspn(r->text + 4, "0123456789 "),
		    sizeof(error));
		end(c, error);
	} else {
		end(c, "something else than a service listens on it");
	}
}

static bool
make_room(struct reply *r, size_t *size)
{
	size_t larger = *size > 0 ? 2 * *size : 65536;
	char *text;

	if (*size - r->len >= 2)
		return true;
	text = larger <= ANSWER_MAX ? realloc(r->text, larger) : NULL;
	if (text == NULL)
		return false;
	r->text = text;
	*size = larger;
	return true;
}

static void
on_ready(void *arg, unsigned ready)
{
	struct call *c = arg;
	struct reply *r = c->reply;

	(void)ready;
	for (;;) {
		ssize_t n;

		if (!make_room(r, &c->size)) {
			end(c, "its answer is too long");
			return;
		}
		n = recv(c->reply->service.fd, r->text + r->len,
		    c->size - r->len - 1, MSG_DONTWAIT);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0)
			break;
		r->len += (size_t)n;
		r->text[r->len] = '\0';
	}
	judge(c);
}

static void send_request(struct call *c);

static void
on_retry(void *arg)
{
	struct call *c = arg;

	find_connect(&c->reply->service);
	send_request(c);
}

static void
send_request(struct call *c)
{
	struct service *s = &c->reply->service;
	const char *request = c->gather->request;

	if (s->fd == -1) {
		if (s->error != EAGAIN ||
		    pfk_timer_set(&c->retry, c->gather->loop, RETRY_NS,
			on_retry, c) == -1)
			end(c,
			    s->error == ECONNREFUSED ? "the service has died"
				: s->error == ENOENT ? "it is not running"
						     : strerror(s->error));
		return;
	}
	/* A fresh socket has room for a line; a refusal can be read still. */
	if (send(s->fd, request, strlen(request), MSG_NOSIGNAL) == -1 &&
	    errno != EPIPE) {
		end(c, strerror(errno));
		return;
	}
	c->io = pfk_io_add(c->gather->loop, s->fd, PFK_READ, on_ready, c);
	if (c->io == NULL)
		end(c, strerror(errno));
}

static void
on_deadline(void *arg)
{
	struct gather *g = arg;

	for (int i = 0; i < g->n; i++) {
		if (!g->calls[i].ended)
			end(&g->calls[i], "it does not answer within 3 s");
	}
}

struct gather *
gather_start(struct pfk_loop *l, const struct settings *s, enum question q,
    void (*done)(void *arg), void *arg)
{
	struct service list[SERVICES_MAX];
	int n = find_services(s, list);
	struct gather *g = calloc(1,
	    sizeof(*g) + (size_t)n * sizeof(g->calls[0]));

	if (g == NULL ||
	    pfk_timer_set(&g->deadline, l, n > 0 ? ANSWER_NS : 0,
		n > 0 ? on_deadline : all_ended, g) == -1) {
		free(g);
		for (int i = 0; i < n; i++) {
			if (list[i].fd != -1)
				close(list[i].fd);
		}
		return NULL;
	}
	g->loop = l;
	g->request = requests[q];
	g->done = done;
	g->arg = arg;
	g->n = g->open = n;
	for (int i = 0; i < n; i++) {
		struct call *c = &g->calls[i];

		c->gather = g;
		c->reply = &g->replies[i];
		c->reply->service = list[i];
		send_request(c);
	}
	return g;
}

struct reply *
gather_replies(struct gather *g, int *n)
{
	*n = g->n;
	return g->replies;
}

void
gather_free(struct gather *g)
{
	pfk_timer_cancel(&g->deadline);
	for (int i = 0; i < g->n; i++) {
		struct call *c = &g->calls[i];

		pfk_io_cancel(&c->io);
		pfk_timer_cancel(&c->retry);
		if (c->reply->service.fd != -1)
			close(c->reply->service.fd);
		free(c->reply->text);
	}
	free(g);
}
