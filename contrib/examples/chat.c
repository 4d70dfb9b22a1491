/*
 * chat [-p PORT]: each line that a client sends goes to all of them, with a
 * number before it, and a new client gets the last lines first.
 *
 * Kill its worker as often as you like: no client is lost, and each line
 * reaches each client exactly once and in order.  The last lines outlive the
 * worker in the loop's state, and the library keeps a connection's unfinished
 * line.  Each callback is a transaction over both, and over its output.  The list
 * of clients is made anew in connection_resumed.
 *
 * The room belongs to one worker, so there is one.
 */
#include <prefork.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define LINE 120 /* longer ones are divided */
#define KEPT 16

struct room { /* the loop's state */
	unsigned long said;
	char lines[KEPT][LINE + 24];
};

struct client {
	LIST_ENTRY(client) link;
	struct pfk_transport *tr;
};

static LIST_HEAD(, client) clients = LIST_HEAD_INITIALIZER(clients);
static struct pfk_loop *loop;

static void *
enter(struct pfk_transport *tr)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->tr = tr;
	LIST_INSERT_HEAD(&clients, c, link);
	return c;
}

static void *
made(struct pfk_transport *tr, void *arg)
{
	const struct room *r = pfk_loop_state(loop, sizeof(*r));
	unsigned long i = r->said > KEPT ? r->said - KEPT : 0;

	(void)arg;
	for (; i < r->said; i++)
		pfk_write(tr, r->lines[i % KEPT], strlen(r->lines[i % KEPT]));
	pfk_receive_until(tr, '\n', LINE);
	return enter(tr);
}

static void *
resumed(struct pfk_transport *tr, void *arg, const void *block, size_t len)
{
	(void)arg;
	(void)block;
	(void)len;
	return enter(tr);
}

/* One line, or LINE bytes of a longer one. */
static void
received(void *self, const void *buf, size_t len)
{
	struct room *r = pfk_loop_state(loop, sizeof(*r));
	char *line = r->lines[r->said % KEPT];
	const char *text = buf;
	struct client *c;

	(void)self;
	if (text[len - 1] == '\n')
		len--;
	snprintf(line, LINE + 24, "%lu %.*s\n", ++r->said, (int)len, text);
	LIST_FOREACH(c, &clients, link)
		pfk_write(c->tr, line, strlen(line));
}

static void
lost(void *self, int error)
{
	(void)error;
	LIST_REMOVE((struct client *)self, link);
	free(self);
}

static const struct pfk_protocol chat = {.connection_made = made,
    .data_received = received,
    .connection_lost = lost,
    .connection_resumed = resumed,
    .survives = true};

static int
worker_init(struct pfk_worker *w, const struct pfk_setup *setup)
{
	const char *n = getenv("CHAT_DIE_AT"); /* its test */

	(void)setup;
	loop = pfk_worker_loop(w);
	if (n != NULL)
		pfk_die_at(loop, strtoull(n, NULL, 10));
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct pfk_service services[] = {{.tcp = &chat}, {0}};
	static const struct pfk_program program = {.services = services,
	    .port = 7000,
	    .workers = 1,
	    .worker_init = worker_init};

	return pfk_main(&program, argc, argv);
}
