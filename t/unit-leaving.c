/*
 * A worker that leaves: it does not stay for a connection that it has opened,
 * unless the program holds its loop; the program learns why it leaves and until
 * when; and a busy connection is offered to the successor again.
 */
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "service.h"
#include "tap.h"
#include "unit.h"

static struct pfk_listen want = {.kind = PFK_TCP};
static struct pfk_addr upstream; /* the test's own listener */
struct pfk_server *server;       /* not static: it is no leak */
static struct pfk_loop *loop;
/* Shared with the test. */
static struct orders {
	int hold; /* the loop of a worker that leaves, while it is 1 */
	int busy; /* connections that are to be handed over */
} * orders;

static void *
up_made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	pfk_log(PFK_INFO, "upstream is there");
	return tr;
}

static void
up_lost(void *self, int error)
{
	(void)self;
	(void)error;
	pfk_log(PFK_INFO, "upstream is lost");
}

/* It must not be asked, because no server would take the connection. */
static ssize_t
up_hand_over(void *self, void *buf, size_t room)
{
	(void)self;
	(void)buf;
	(void)room;
	pfk_log(PFK_INFO, "upstream was asked");
	return 0;
}

static void *
resumed(struct pfk_transport *tr, void *arg, const void *buf, size_t len)
{
	(void)arg;
	(void)buf;
	(void)len;
	pfk_log(PFK_INFO, "resumed");
	return tr;
}

static const struct pfk_protocol upstream_protocol = {
    .connection_made = up_made,
    .connection_lost = up_lost,
    .hand_over = up_hand_over,
    .connection_resumed = resumed,
};

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	pfk_write(tr, "x", 1);
	return tr;
}

static ssize_t
hand_over(void *self, void *buf, size_t room)
{
	(void)self;
	(void)buf;
	(void)room;
	if (__atomic_load_n(&orders->busy, __ATOMIC_ACQUIRE) == 0)
		return 0;
	pfk_log(PFK_INFO, "busy");
	return PFK_LATER;
}

static const struct pfk_protocol protocol = {
    .connection_made = made,
    .hand_over = hand_over,
    .connection_resumed = resumed,
};

static void
up_failed(void *arg, int error, const char *causes)
{
	(void)arg;
	(void)error;
	pfk_log(PFK_ERROR, "no upstream: %s", causes);
}

static void
look(void *arg)
{
	if (__atomic_load_n(&orders->hold, __ATOMIC_ACQUIRE) == 1)
		pfk_later(loop, 5 * PFK_MSEC_NS, look, arg);
	else
		pfk_loop_release(loop);
}

static void
worker_leaving(struct pfk_worker *w, enum pfk_drain why, uint64_t until_ns,
    void *arg)
{
	(void)arg;
	pfk_log(PFK_INFO, "slot %d leaves: %d, %s", pfk_worker_slot(w),
	    (int)why, until_ns == 0 ? "for ever" : "for a while");
	if (__atomic_load_n(&orders->hold, __ATOMIC_ACQUIRE) == 1) {
		pfk_loop_hold(loop);
		look(NULL);
	}
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	struct pfk_connect_options o = {.host = "127.0.0.1",
	    .port = pfk_addr_port(&upstream)};
	int fd;

	(void)arg;
	if (pfk_worker_listen(w, &want, 1, &fd) == -1)
		return -1;
	loop = pfk_worker_loop(w);
	server = pfk_serve(loop, fd, &protocol, NULL, NULL);
	return server != NULL &&
		pfk_connect(loop, &o, &upstream_protocol, NULL, up_failed) !=
		    NULL
	    ? 0
	    : -1;
}

static const struct pfk_hooks hooks = {
    .worker_init = worker_init,
    .worker_leaving = worker_leaving,
};

/* Reload; where its log begins. */
static size_t
reload(void)
{
	size_t at = service_log_size();

	service_signal(SIGHUP);
	ok(service_wait(at, "reloaded: 1 worker") != 0, "a reload");
	return at;
}

static void
test_upstream(void)
{
	size_t at = reload();

	ok(service_wait(at, "slot 0 leaves: 0, for ever") != 0,
	    "the program learns why, and until when");
	ok(service_wait(at, "upstream is lost") != 0,
	    "its own connection is lost");
	ok(service_wait(at, ") has ended") != 0,
	    "and does not keep the worker");
	is_int(service_count("upstream was asked"), 0,
	    "nor is it offered to the successor");
}

static void
test_hold(void)
{
	size_t at;

	__atomic_store_n(&orders->hold, 1, __ATOMIC_RELEASE);
	at = reload();
	ok(service_wait(at, "slot 0 leaves") != 0, "a worker that is held");
	at = reload();
	is_int(service_count(") has ended"), 1, "stays");
	__atomic_store_n(&orders->hold, 0, __ATOMIC_RELEASE);
	at = service_wait(at, ") has ended");
	ok(at != 0 && service_wait(at, ") has ended") != 0,
	    "until it is released");
}

static void
test_busy(const struct pfk_addr *to)
{
	int fd = unit_connect(to);
	char c;
	size_t at;

	is_int(unit_read(fd, &c, 1), 1, "a client");
	__atomic_store_n(&orders->busy, 1, __ATOMIC_RELEASE);
	at = service_wait(reload(), "busy");
	ok(at != 0 && service_wait(at, "busy") != 0,
	    "a busy connection is asked again");
	is_int(service_count("resumed"), 0, "and stays");
	__atomic_store_n(&orders->busy, 0, __ATOMIC_RELEASE);
	at = service_wait(at, "resumed");
	ok(at != 0, "until it is idle");
	ok(service_wait(at, ") has ended") != 0, "and its worker has ended");
	is_int(service_count("handing them over again"), 0,
	    "no line blames an heir");
	close(fd);
}

int
main(void)
{
	unsigned port = 0;
	struct pfk_addr to;
	size_t at;
	int listener = unit_listen(&upstream);

	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	orders = mmap(NULL, sizeof(*orders), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (orders == MAP_FAILED || listener == -1)
		skip_all("no shared memory");
	service_drain_ns = 0;
	service_start(&hooks, 1);
	at = service_wait(0, "serving on tcp 127.0.0.1:");
	sscanf(service_log() + at, "%u", &port);
	pfk_addr_parse(&to, "127.0.0.1", (uint16_t)port);
	ok(service_wait(0, "upstream is there") != 0, "it has an upstream");
	test_upstream();
	test_hold();
	test_busy(&to);
	at = service_log_size();
	is_int(service_end(SIGTERM), 0, "it stops");
	ok(service_wait(at, "slot 0 leaves: 1, for a while") != 0,
	    "which the program learns, too");
	close(listener);
	return done_testing();
}
