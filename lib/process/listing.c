/*
 * listing.c: ask all workers for their connections, and put the answers
 * together.
 *
 * Layer: process.
 */
#include "process/listing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#include "event/connections.h"
#include "process/control.h"
#include "process/master.h"

#define PATIENCE_NS PFK_SECOND_NS
#define BATCH 64

/* the result */

static void
send_result(struct pfk__master *m, char *text, size_t size)
{
	struct pfk__client *c, *next;
	char *copy;

	TAILQ_FOREACH_SAFE(c, &m->control->clients, link, next) {
		if (c->wish != PFK__WISH_CONNECTIONS)
			continue;
		copy = text != NULL ? malloc(size) : NULL;
		if (copy != NULL)
			pfk__client_answer(c, memcpy(copy, text, size), size);
		else
			pfk__client_fail(c, EX_OSERR, "out of memory");
	}
}

static void
finish(struct pfk__master *m)
{
	struct pfk__listing *g = &m->control->listing;
	bool good = fclose(g->f) == 0;

	g->f = NULL;
	pfk_timer_cancel(&g->deadline);
	send_result(m, good ? g->text : NULL, g->size);
	free(g->text);
	g->text = NULL;
}

static void
finish_if_all(struct pfk__master *m)
{
	const struct pfk__child *c;

	LIST_FOREACH(c, &m->children, link) {
		if (c->list_fd != -1)
			return;
	}
	finish(m);
}

static void
let_go(struct pfk__child *c)
{
	close(c->list_fd);
	c->list_fd = -1;
}

static void
lacks(const struct pfk__child *c, const char *why)
{
	fprintf(c->master->control->listing.f, "! worker %d (%d) %s\n", c->slot,
	    (int)pfk__child_pid(c), why);
}

static void
on_deadline(void *arg)
{
	struct pfk__master *m = arg;
	struct pfk__child *c;

	LIST_FOREACH(c, &m->children, link) {
		if (c->list_fd == -1)
			continue;
		lacks(c, "does not answer");
		let_go(c);
	}
	finish(m);
}

/* answers */

static void
write_row(FILE *f, const struct pfk__child *c, struct pfk__connection *row)
{
	uint64_t now = pfk_loop_now(c->master->loop);
	char name[PFK_ADDR_SIZE], since[32] = "-";

	row->peer.len = row->peer.sa.sa_family == AF_INET6
	    ? sizeof(row->peer.in6)
	    : sizeof(row->peer.in4);
	if (row->peer.sa.sa_family != AF_INET &&
	    row->peer.sa.sa_family != AF_INET6)
		return;
	if (row->since_ns != 0 && row->since_ns <= now)
		snprintf(since, sizeof(since), "%.3f",
		    (double)(now - row->since_ns) / 1e9);
	fprintf(f, "%d %s %s %.3f %llu %llu\n", c->slot,
	    pfk_addr_format(name, &row->peer), since,
	    (double)row->idle_ns / 1e9, (unsigned long long)row->received,
	    (unsigned long long)row->sent);
}

static void
read_rows(FILE *f, const struct pfk__child *c, int rows)
{
	struct pfk__connection batch[BATCH];
	off_t at = 0;

	while (rows > 0) {
		size_t want = (size_t)(rows < BATCH ? rows : BATCH);
		ssize_t n = pread(c->list_fd, batch, want * sizeof(batch[0]),
		    at);

		if (n != (ssize_t)(want * sizeof(batch[0])))
			return;
		for (size_t i = 0; i < want; i++)
			write_row(f, c, &batch[i]);
		rows -= (int)want;
		at += n;
	}
}

void
pfk__listing_answered(struct pfk__child *c, int rows)
{
	FILE *f;

	if (c->list_fd == -1)
		return; /* it comes too late */
	f = c->master->control->listing.f;
	if (rows < 0)
		lacks(c, "cannot list its connections");
	else if (rows > PFK__CONNECTIONS_MAX)
		lacks(c, "has more connections than can be listed");
	read_rows(f, c,
	    rows < PFK__CONNECTIONS_MAX ? rows : PFK__CONNECTIONS_MAX);
	let_go(c);
	finish_if_all(c->master);
}

void
pfk__listing_forget(struct pfk__child *c)
{
	if (c->list_fd == -1)
		return;
	lacks(c, "has died meanwhile");
	let_go(c);
	finish_if_all(c->master);
}

/* questions */

/* Of a fixed size, so that a worker cannot fill the memory by it. */
static int
make_file(void)
{
	int fd = memfd_create("connections", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd == -1)
		return -1;
	if (ftruncate(fd, PFK__CONNECTIONS_BYTES) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) ==
		0)
		return fd;
	close(fd);
	return -1;
}

static void
ask(struct pfk__child *c)
{
	struct pfk__message msg = {.type = PFK__MSG_LIST};

	if (c->phase == PFK__PHASE_BOOTING || c->channel == -1)
		return;
	c->list_fd = make_file();
	if (c->list_fd == -1) {
		lacks(c, "cannot be asked: no descriptor or memory is free");
	} else if (pfk__child_tell(c, &msg, c->list_fd) == -1) {
		lacks(c, "does not answer");
		let_go(c);
	}
}

void
pfk__listing_ask(struct pfk__client *client)
{
	struct pfk__master *m = client->control->master;
	struct pfk__listing *g = &client->control->listing;
	struct pfk__child *c;

	if (g->f == NULL) {
		g->f = open_memstream(&g->text, &g->size);
		if (g->f == NULL) {
			pfk__client_fail(client, EX_OSERR, "out of memory");
			return;
		}
		fputs("OK\n", g->f);
		LIST_FOREACH(c, &m->children, link)
			ask(c);
		pfk_timer_set(&g->deadline, m->loop, PATIENCE_NS, on_deadline,
		    m);
	}
	pfk__client_wait(client, PFK__WISH_CONNECTIONS, 0);
	finish_if_all(m);
}

void
pfk__listing_cancel(struct pfk__master *m)
{
	struct pfk__listing *g = &m->control->listing;
	struct pfk__child *c;

	pfk_timer_cancel(&g->deadline);
	LIST_FOREACH(c, &m->children, link) {
		if (c->list_fd != -1)
			let_go(c);
	}
	if (g->f != NULL)
		fclose(g->f);
	free(g->text);
	g->f = NULL;
	g->text = NULL;
}
