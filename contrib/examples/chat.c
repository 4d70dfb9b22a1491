/*
 * chat [-p PORT]: each line that a client sends goes to all of them, with a
 * number before it, and a new client gets the last lines first.
 *
 * Kill its workers and reload it as often as you like: no client is lost, and each
 * line reaches each client exactly once and in order.  The room is a zone, which
 * all workers share: a line is an item, and its key is its number.  A connection's
 * block is the number of the last line that its client has; a killed worker and a
 * reload leave it to the successor.  Each callback is a transaction over blocks and
 * output, and when a successor runs it again, its changes of the zone are not made
 * again.
 *
 * With CHAT_ROOM=FILE in the environment, a file on a tmpfs such as /run, the room
 * outlives the master, too, as an upgrade in place needs it.
 */
#include <err.h>
#include <errno.h>
#include <prefork.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE 120   /* longer ones are divided */
#define KEPT 16    /* lines for a new client */
#define ROOM 40000 /* lines, which the zone can hold */
#define LOOK_NS (10 * PFK_MSEC_NS)
#define UNSENT 1000000

static const struct pfk_protocol chat;
static struct pfk_zone *room;
static struct pfk_loop *loop;
static struct pfk_timer *look;

/* Give a client the lines that it does not have, up to the last one. */
static void
give(void *self, void *last)
{
	uint64_t *seen = pfk_block(self), n = *seen + 1;
	char line[LINE + 24];
	struct pfk_zone_item item;

	while (n <= *(uint64_t *)last &&
	    pfk_zone_get(room, &n, sizeof(n), line, sizeof(line), &item) == 0 &&
	    pfk_write(self, line, item.len) == 0)
		*seen = n++;
	if (pfk_write_buffered(self) > UNSENT)
		pfk_abort(self); /* it does not read */
}

/* After each line, and from time to time for the lines of other workers. */
static void
show(void *arg)
{
	uint64_t all = UINT64_MAX;

	pfk_loop_each(loop, &chat, give, &all);
	pfk_timer_set(&look, loop, LOOK_NS, show, arg);
}

static void *
made(struct pfk_transport *tr, void *arg)
{
	uint64_t *seen = pfk_block(tr), said;

	(void)arg;
	pfk_zone_add(room, "said", 4, 0, false, &said);
	*seen = said > KEPT ? said - KEPT : 0;
	pfk_receive_until(tr, '\n', LINE);
	return tr;
}

static void *
resumed(struct pfk_transport *tr, void *arg, const void *block, size_t len)
{
	(void)arg;
	(void)block;
	(void)len;
	return tr;
}

/*
 * One line, or LINE bytes of a longer one.  Its number is the first free one behind
 * the lines that the client has.  Lines that others have said meanwhile come first.
 */
static void
received(void *self, const void *buf, size_t len)
{
	uint64_t n = *(uint64_t *)pfk_block(self), old;
	const char *text = buf;
	char line[LINE + 24];

	if (text[len - 1] == '\n')
		len--;
	do
		snprintf(line, sizeof(line), "%ju %.*s\n", (uintmax_t)++n,
		    (int)len, text);
	while (pfk_zone_put(room, &n, sizeof(n), line, strlen(line),
		   PFK_ZONE_NEW, NULL) == -1 &&
	    errno == EEXIST);
	give(self, &n);
	old = n - ROOM;
	pfk_zone_delete(room, &old, sizeof(old));
	pfk_zone_add(room, "said", 4, 1, false, &n);
	pfk_timer_set(&look, loop, 0, show, NULL);
}

static const struct pfk_protocol chat = {.connection_made = made,
    .data_received = received,
    .hand_over = pfk_hand_over_block,
    .connection_resumed = resumed,
    .survives = true,
    .block_bytes = sizeof(uint64_t)};

static int
worker_init(struct pfk_worker *w, const struct pfk_setup *setup)
{
	const char *n = getenv("CHAT_DIE_AT"); /* its test */

	(void)setup;
	loop = pfk_worker_loop(w);
	if (n != NULL)
		pfk_die_at(loop, strtoull(n, NULL, 10));
	return pfk_timer_set(&look, loop, 0, show, NULL);
}

int
main(int argc, char **argv)
{
	static const struct pfk_service services[] = {{.tcp = &chat}, {0}};
	static const struct pfk_program program = {.services = services,
	    .port = 7000,
	    .worker_init = worker_init};

	room = pfk_zone_open(getenv("CHAT_ROOM"), 16 << 20);
	if (room == NULL)
		err(1, "cannot make the room");
	pfk_zone_put(room, "said", 4, "0", 1, PFK_ZONE_NEW, NULL);
	return pfk_main(&program, argc, argv);
}
