/*
 * handover.c: connections go from one loop to another, as they go from one
 * process to another.
 */
#include "handover.h"

#include <string.h>
#include <unistd.h>

#include "event/loop.h"
#include "process/channel.h"
#include "process/takeover.h"
#include "tap.h"
#include "transport/handover.h"
#include "unit.h"

struct handover ho;

static ssize_t
hand_over(void *self, void *buf, size_t room)
{
	(void)self;
	if (ho.instead != 0 || room < ho.state_len)
		return ho.instead;
	memcpy(buf, "state", 5);
	for (size_t i = 5; i < ho.state_len; i++)
		((char *)buf)[i] = record_byte(i);
	if (ho.leaving != NULL)
		ho.leaving();
	return (ssize_t)ho.state_len;
}

static void *
connection_resumed(struct pfk_transport *tr, void *arg, const void *buf,
    size_t len)
{
	struct record *r = &ho.resumed[ho.n_resumed++ % 4];

	*r = (struct record){.owner = arg, .tr = tr};
	ho.got_state = 5;
	while (ho.got_state < len &&
	    ((const char *)buf)[ho.got_state] == record_byte(ho.got_state))
		ho.got_state++;
	memcpy(r->text, buf, len < sizeof(r->text) ? len : 0);
	if (ho.on_its_way != NULL)
		ho.on_its_way(ho.old.conns[0].tr);
	return ho.refuse ? NULL : r;
}

static void
on_taken(void *arg)
{
	++*(int *)arg;
}

static void
on_kept(void *arg, size_t n, size_t later)
{
	(void)arg;
	ho.kept = n;
	ho.kept_later = later;
}

static void
init(struct recorder *r)
{
	recorder_init(r);
	r->echo = true;
	r->protocol.hand_over = hand_over;
	r->protocol.connection_resumed = connection_resumed;
}

void
handover_begin(void)
{
	int fd;

	ho.fds_before = unit_count_fds();
	ho.n_resumed = ho.taken = 0;
	ho.refuse = false;
	ho.instead = 0;
	ho.state_len = 5;
	ho.kept = ho.kept_later = 0;
	ho.leaving = NULL;
	ho.on_its_way = NULL;
	init(&ho.old);
	init(&ho.new);
	ho.from = pfk_loop_new(ho.backend);
	ho.to = pfk_loop_new(ho.backend);
	ho.to->taken = on_taken;
	ho.to->taken_arg = &ho.taken;
	ho.from->kept = on_kept;
	fd = unit_listen(&ho.addr);
	ho.giver = pfk_serve(ho.from, dup(fd), &ho.old.protocol, &ho.old, NULL);
	ho.taker = pfk_serve(ho.to, fd, &ho.new.protocol, &ho.new, NULL);
}

/* The old one drains and gives; both loops turn until it has ended. */
void
handover_hand(void)
{
	int fds[2];

	ho.taken = 0;
	ho.kept = ho.kept_later = 0;
	pfk__channel_pair(fds);
	pfk_loop_drain(ho.from, PFK_DRAIN_LEAVE);
	ho.from->serving[PFK_TCP]->give(ho.from, fds[0], true);
	ho.to->serving[PFK_TCP]->take(ho.to, fds[1], false, PFK__KNOCK_VERSION);
	for (int i = 0; i < 5000 && ho.taken == 0; i++) {
		unit_settle(ho.to);
		unit_settle(ho.from);
	}
}

int
handover_client(void)
{
	int fd = unit_connect(&ho.addr), n = ho.old.calls[RECORD_MADE];

	unit_run_until(ho.from, &ho.old.calls[RECORD_MADE], n + 1);
	return fd;
}

void
handover_end(const char *name)
{
	pfk_server_close(&ho.giver);
	pfk_server_close(&ho.taker);
	pfk_loop_run(ho.from);
	pfk_loop_run(ho.to);
	ok(ho.old.late + ho.new.late == 0 &&
		ho.old.calls[RECORD_LOST] == ho.old.calls[RECORD_MADE],
	    "%s: %s: connection_lost once, and last", ho.backend, name);
	pfk_loop_free(ho.from);
	pfk_loop_free(ho.to);
	is_int(unit_count_fds(), ho.fds_before, "%s: %s: no descriptor is left",
	    ho.backend, name);
}

/* As much as the socket takes, and a little more than ho.unsent. */
void
handover_write(struct record *r)
{
	char chunk[16384];

	while (pfk_write_buffered(r->tr) <= ho.unsent) {
		for (size_t i = 0; i < sizeof(chunk); i++)
			chunk[i] = record_byte(ho.written + i);
		pfk_write(r->tr, chunk, sizeof(chunk));
		ho.written += sizeof(chunk);
	}
}
