/*
 * pfk_loop_each: which connections it calls for, and what the calls may do.
 */
#include <prefork.h>
#include <string.h>
#include <unistd.h>

#include "record.h"
#include "tap.h"
#include "unit.h"

#define N 4

static const char *backend;
static struct pfk_loop *loop;
static struct recorder rec, other;
static int ends[N];

static void
count(void *self, void *arg)
{
	struct record *r = self;

	pfk_write(r->tr, "x", 1);
	++*(int *)arg;
}

static int
counted(const struct pfk_protocol *proto)
{
	int n = 0;

	pfk_loop_each(loop, proto, count, &n);
	return n;
}

/* Each call ends all others and adds one. */
static void
end_others(void *self, void *arg)
{
	struct record *r = self;
	int fds[2], *n = arg;

	for (int i = 0; i < N; i++) {
		if (rec.conns[i].tr != r->tr)
			pfk_abort(rec.conns[i].tr);
	}
	unit_pair(fds);
	pfk_attach(loop, fds[0], &rec.protocol, &rec);
	close(fds[1]);
	++*n;
}

static void
attach(const struct pfk_protocol *proto, struct recorder *r, int *end)
{
	int fds[2];

	unit_pair(fds);
	ok(pfk_attach(loop, fds[0], proto, r) != NULL, "%s: a connection",
	    backend);
	*end = fds[1];
}

static void
test_each(void)
{
	char buf[8] = "";
	int n = 0, end;

	loop = pfk_loop_new(backend);
	recorder_init(&rec);
	recorder_init(&other);
	is_int(counted(&rec.protocol), 0, "%s: none in an empty loop", backend);
	for (int i = 0; i < N; i++)
		attach(&rec.protocol, &rec, &ends[i]);
	is_int(counted(&rec.protocol), 0, "%s: none before connection_made",
	    backend);
	attach(&other.protocol, &other, &end);
	unit_run_until(loop, &rec.calls[RECORD_MADE], N);
	unit_run_until(loop, &other.calls[RECORD_MADE], 1);
	is_int(counted(&rec.protocol), N, "%s: all of the protocol", backend);
	unit_read(ends[0], buf, 1);
	is_str(buf, "x", "%s: by their self", backend);
	is_int(counted(&other.protocol), 1, "%s: and the other one's", backend);
	pfk_close(other.conns[0].tr);
	is_int(counted(&other.protocol), 0, "%s: not while it closes", backend);
	pfk_set_protocol(rec.conns[0].tr, &other.protocol);
	is_int(counted(&other.protocol), 1, "%s: one that goes on with another",
	    backend);
	pfk_set_protocol(rec.conns[0].tr, &rec.protocol);
	pfk_loop_each(loop, &rec.protocol, end_others, &n);
	is_int(n, 1, "%s: none that a call before has ended", backend);
	pfk_loop_drain(loop, PFK_DRAIN_NOW);
	is_int(pfk_loop_run(loop), 0, "%s: the loop ends", backend);
	is_int(counted(&rec.protocol), 0, "%s: and none is left", backend);
	for (int i = 0; i < N; i++)
		close(ends[i]);
	close(end);
	pfk_loop_free(loop);
}

int
main(void)
{
	static const char *const backends[] = {"epoll", "poll"};

	for (int i = 0; i < 2; i++) {
		backend = backends[i];
		test_each();
	}
	loop = pfk_loop_new(NULL);
	pfk_loop_each(loop, &rec.protocol, NULL, NULL);
	ok(true, "no call: nothing happens");
	pfk_loop_free(loop);
	return done_testing();
}
