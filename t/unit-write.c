/*
 * transport/write.c: the writes of a callback leave together, in order and
 * whole, and buffers that are handed over are released once.
 */
#include <linux/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "record.h"
#include "tap.h"
#include "unit.h"

#define BIG (8u << 20) /* more than two sockets hold */

static struct pfk_loop *loop;
static struct pfk_server *server;
static struct pfk_addr addr;
static struct recorder rec;
static int client, released, released_inside;
static bool inside;
static char *big;

static void
begin(void (*at_data)(struct record *r))
{
	loop = pfk_loop_new(NULL);
	recorder_init(&rec);
	rec.at[RECORD_DATA] = at_data;
	server = pfk_serve(loop, unit_listen(&addr), &rec.protocol, &rec, NULL);
	client = unit_connect(&addr);
	unit_run_until(loop, &rec.calls[RECORD_MADE], 1);
	released = released_inside = 0;
}

static void
end(const char *name)
{
	close(client);
	unit_run_until(loop, &rec.calls[RECORD_LOST], 1);
	pfk_server_close(&server);
	is_int(pfk_loop_run(loop), 0, "%s: the loop ends", name);
	pfk_loop_free(loop);
}

/* Let data_received do its work. */
static void
poke(void)
{
	unit_write(client, "x", 1);
	unit_run_until(loop, &rec.calls[RECORD_DATA], 1);
}

/* The segments with data that the first connection has sent. */
static unsigned
segments(void)
{
	struct tcp_info info = {0};

	pfk_extra_info(rec.conns[0].tr, "tcp_info", &info, sizeof(info));
	return info.tcpi_data_segs_out;
}

static void
release(void *arg)
{
	released++;
	released_inside += inside;
	free(arg);
}

static char *
copy_of(const char *text)
{
	char *s = strdup(text);

	return s != NULL ? s : (_exit(1), s);
}

static void
is_next(const char *text, const char *name)
{
	char buf[256] = "";

	is_int(unit_read(client, buf, strlen(text)), strlen(text), "%s: length",
	    name);
	is_str(buf, text, "%s", name);
}

/* small ones */

static void
write_three(struct record *r)
{
	pfk_write(r->tr, "one ", 4);
	pfk_write(r->tr, "two ", 4);
	pfk_write(r->tr, "three", 5);
}

static void
write_and_flush(struct record *r)
{
	write_three(r);
	pfk_flush(r->tr);
	write_three(r);
}

static void
write_and_close(struct record *r)
{
	write_three(r);
	pfk_close(r->tr);
}

static void
write_and_ask(struct record *r)
{
	write_three(r);
	is_int(pfk_write_buffered(r->tr), 0, "the socket takes small bytes");
}

static void
write_vectors(struct record *r)
{
	struct iovec iov[] = {{(void *)(uintptr_t) "one ", 4}, {NULL, 0},
	    {(void *)(uintptr_t) "two ", 4}, {(void *)(uintptr_t) "three", 5}};

	is_int(pfk_writev(r->tr, iov, 4), 0, "pfk_writev");
	is_int(pfk_writev(r->tr, iov, 0), 0, "of nothing");
}

static void
test_together(void (*action)(struct record *r), unsigned n, const char *text,
    const char *name)
{
	begin(action);
	poke();
	is_int(segments(), n, "%s: segments", name);
	is_next(text, name);
	end(name);
}

static void
write_later(void *arg)
{
	write_three(arg);
}

static void
set_timer(struct record *r)
{
	pfk_later(loop, 0, write_later, r);
}

static void
set_soon(struct record *r)
{
	pfk_soon(loop, write_later, r);
}

static void
test_elsewhere(void (*action)(struct record *r), const char *name)
{
	begin(action);
	poke();
	unit_settle(loop);
	is_next("one two three", name);
	is_int(segments(), 1, "%s: segments", name);
	end(name);
}

static void
test_outside(void)
{
	begin(NULL);
	write_three(&rec.conns[0]);
	is_next("one two three", "outside of callbacks at once");
	end("outside");
}

/* To two connections in turn. */
static void
write_to_both(struct record *r)
{
	(void)r;
	for (int i = 0; i < 4; i++)
		pfk_write(rec.conns[i % 2].tr, i < 2 ? "first " : "second", 6);
}

static void
test_both(void)
{
	char buf[16] = "";
	int other;

	begin(write_to_both);
	other = unit_connect(&addr);
	unit_run_until(loop, &rec.calls[RECORD_MADE], 2);
	poke();
	is_next("first second", "one of two");
	is_int(unit_read(other, buf, 12), 12, "the other one: length");
	is_str(buf, "first second", "the other one");
	close(other);
	unit_run_until(loop, &rec.calls[RECORD_LOST], 1);
	end("both");
}

/* more than the socket takes */

static void
write_big(struct record *r)
{
	struct iovec iov[300];

	pfk_write(r->tr, big, 5);
	for (size_t i = 0; i < 300; i++)
		iov[i] = (struct iovec){big + 5 + i * 1000, 1000};
	pfk_writev(r->tr, iov, 300);
	pfk_write(r->tr, big + 300005, BIG - 300005);
}

static void
keep(void *arg)
{
	(void)arg;
	released++;
}

static void
write_big_owned(struct record *r)
{
	inside = true;
	pfk_write(r->tr, big, 5);
	pfk_write_owned(r->tr, big + 5, 40000, keep, NULL);
	pfk_write(r->tr, big + 40005, 20000);
	pfk_write_owned(r->tr, big + 60005, BIG - 60006, keep, NULL);
	pfk_write(r->tr, big + BIG - 1, 1);
	is_int(released, 0, "nothing is released inside of the call");
	inside = false;
}

static void
test_big(void (*action)(struct record *r), int releases, const char *name)
{
	struct drinker d;

	begin(action);
	poke();
	ok(pfk_write_buffered(rec.conns[0].tr) > 0, "%s: the socket is full",
	    name);
	ok(released < 2, "%s: the unsent buffer is not released", name);
	drinker_start(&d, loop, client);
	while (d.got < BIG && d.ended == 0)
		unit_settle(loop);
	is_int(d.got, BIG, "%s: all bytes", name);
	is_int(d.wrong, 0, "%s: nothing wrong is sent", name);
	unit_settle(loop);
	is_int(released, releases, "%s: buffers released", name);
	pfk_io_cancel(&d.io);
	end(name);
}

/* buffers handed over */

static void
hand_over_buffer(struct record *r)
{
	char *body = copy_of("body ");

	inside = true;
	pfk_write(r->tr, "head ", 5);
	is_int(pfk_write_owned(r->tr, body, 5, release, body), 0,
	    "handed over");
	pfk_write_owned(r->tr, "static ", 7, NULL, NULL);
	pfk_write(r->tr, "tail", 4);
	is_int(released, 0, "it is not released inside of the call");
	inside = false;
}

static void
test_owned(void)
{
	begin(hand_over_buffer);
	poke();
	is_int(segments(), 1, "head, body and tail leave together");
	is_next("head body static tail", "in order");
	unit_settle(loop);
	is_int(released, 1, "released once");
	end("owned");
}

static void
test_owned_lost(void)
{
	begin(write_big_owned);
	poke();
	pfk_abort(rec.conns[0].tr);
	end("owned and lost");
	is_int(released, 2, "lost: all buffers are released");
}

static void
test_owned_refused(void)
{
	begin(NULL);
	pfk_write_eof(rec.conns[0].tr);
	is_int(pfk_write_owned(rec.conns[0].tr, "x", 1, keep, NULL), -1,
	    "refused after the end");
	unit_settle(loop);
	is_int(released, 0, "then it is not released");
	end("owned and refused");
}

int
main(void)
{
	big = malloc(BIG);
	if (big == NULL)
		return 1;
	for (size_t i = 0; i < BIG; i++)
		big[i] = record_byte(i);
	test_together(write_three, 1, "one two three", "three writes");
	test_together(write_and_flush, 2, "one two threeone two three",
	    "flush");
	test_together(write_and_close, 1, "one two three", "close");
	test_together(write_and_ask, 1, "one two three", "write_buffered");
	test_together(write_vectors, 1, "one two three", "vectors");
	test_elsewhere(set_timer, "timer");
	test_elsewhere(set_soon, "soon");
	test_outside();
	test_both();
	test_big(write_big, 0, "big");
	test_big(write_big_owned, 2, "big and owned");
	test_owned();
	test_owned_lost();
	test_owned_refused();
	free(big);
	return done_testing();
}
