/*
 * A worker of a dead master is killed at each point of its way to the next master:
 * its successor begins that way anew, and its connections and listener go over.  So
 * they do when the next master has no memory for a listener at first.
 */
#include <errno.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "echo.h"
#include "process/custody.h"
#include "service.h"
#include "tap.h"
#include "tree.h"

#define LOOK_NS (5 * PFK_MSEC_NS)
/* From the knock to READY and the note of it; those of a hand-over follow. */
#define POINTS 7

/* So many points from the next look on, 0: it lives; and how many workers began. */
static struct plan {
	uint64_t die_at;
	int begun;
	int refusals; /* so many listeners find no memory in a master */
} * plan;
static struct pfk_sockopts options;
static struct pfk_listen want = {.kind = PFK_TCP, .options = &options};
static struct pfk_loop *loop;

#ifdef __SANITIZE_ADDRESS__
#define HAS_MALLOC false
#else
#define HAS_MALLOC true

/* NOLINTNEXTLINE(bugprone-reserved-identifier) */
void *__libc_malloc(size_t n);

void *
malloc(size_t n) /* the header's name is reserved: NOLINT */
{
	if (plan != NULL && n == sizeof(struct pfk__lent) &&
	    __atomic_load_n(&plan->refusals, __ATOMIC_RELAXED) > 0) {
		__atomic_sub_fetch(&plan->refusals, 1, __ATOMIC_RELAXED);
		errno = ENOMEM;
		return NULL;
	}
	return __libc_malloc(n);
}
#endif

/* the service */

static ssize_t
hand_over(void *self, void *buf, size_t room)
{
	(void)self;
	(void)buf;
	(void)room;
	return 0;
}

static const struct pfk_protocol echo = {.connection_made = echo_made,
    .data_received = echo_received,
    .hand_over = hand_over,
    .connection_resumed = echo_resumed,
    .survives = true};

static void
look(void *arg)
{
	uint64_t n = __atomic_load_n(&plan->die_at, __ATOMIC_RELAXED);

	(void)arg;
	if (n == 0) {
		pfk_later(loop, LOOK_NS, look, NULL);
		return;
	}
	plan->die_at = 0;
	pfk_die_at(loop, n);
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	(void)arg;
	__atomic_add_fetch(&plan->begun, 1, __ATOMIC_RELAXED);
	loop = pfk_worker_loop(w);
	if (echo_serve(w, &want, &echo) == -1)
		return -1;
	return pfk_later(loop, LOOK_NS, look, NULL);
}

static const struct pfk_hooks hooks = {.worker_init = worker_init};

/* the test */

static void
begin(void)
{
	service_start(&hooks, 2);
	if (service_wait(0, "ready: 2 workers") == 0)
		diag("%s", service_log());
}

static void
die_on_the_way(uint64_t point)
{
	int client, other;
	size_t at;
	bool good;

	plan->begun = 0;
	begin();
	client = service_connect((uint16_t)pfk_addr_port(&want.addr), 0);
	good = service_echoes(client, 'a');
	plan->die_at = point;
	while (__atomic_load_n(&plan->die_at, __ATOMIC_RELAXED) != 0)
		usleep(1000);
	service_end(SIGKILL);
	/* Without another word of the one that is dead, it is not known. */
	service_start(&hooks, 2);
	at = service_wait(service_wait(0, "ready: 2 workers"), "has ended");
	good = service_wait(at, "has ended") != 0 && good;
	good = service_wait(0, "reloaded: 2 workers") != 0 && good;
	other = service_connect((uint16_t)pfk_addr_port(&want.addr), 0);
	is_int(service_count("exited with"), 0, "no channel is ended later");
	ok(good && service_echoes(client, 'b') && service_echoes(other, 'c'),
	    "point %u: a connection and the listener go over", (unsigned)point);
	if (!ok(service_count("took over 2 workers") == 1,
		"its successor knocks, and is not replaced before"))
		diag("%s", service_log());
	close(client);
	close(other);
	is_int(service_end(SIGTERM), 0, "exit status");
	is_int(__atomic_load_n(&plan->begun, __ATOMIC_RELAXED), 5,
	    "two workers, the successor, and two of the new master");
}

/* The orphan whose listener finds no memory serves on, and comes again. */
static void
refuse(int times)
{
	int clients[8];
	bool good = true;

	plan->begun = 0;
	begin();
	for (int i = 0; i < 8; i++) {
		clients[i] = service_connect((uint16_t)pfk_addr_port(
						 &want.addr),
		    0);
		good = service_echoes(clients[i], 'a') && good;
	}
	service_end(SIGKILL);
	plan->refusals = times;
	service_start(&hooks, 2);
	good = service_wait(0, "reloaded: 2 workers") != 0 && good;
	is_int(plan->refusals, 0, "no memory for %d listeners", times);
	if (!ok(service_count("serves on, and is not taken over yet: cannot "
			      "keep a listener of it: Cannot allocate") == 1,
		"which is logged once"))
		diag("%s", service_log());
	is_int(service_count("exited with") + service_count("killed by"), 0,
	    "and ends no worker");
	for (int i = 0; i < 8; i++) {
		good = service_echoes(clients[i], 'b') && good;
		close(clients[i]);
	}
	ok(good, "nor a connection");
	is_int(service_end(SIGTERM), 0, "exit status");
	is_int(plan->begun, 4, "two workers, and two of the new master");
}

/* It stops while a listener finds no memory. */
static void
stop_refused(void)
{
	begin();
	service_end(SIGKILL);
	plan->refusals = INT32_MAX;
	service_start(&hooks, 2);
	ok(service_wait(0, "is not taken over yet") != 0, "no memory at all");
	is_int(service_end(SIGTERM), 0, "a stop is obeyed");
	plan->refusals = 0;
}

int
main(void)
{
	plan = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (plan == MAP_FAILED)
		skip_all("no shared memory");
	service_place("control");
	service_orphan_ns = 60 * PFK_SECOND_NS;
	pfk_sockopts_init(&options);
	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	pfk_addr_parse(&want.addr, "127.0.0.1", service_free_port(&hooks, 2));
	for (uint64_t point = 1; point <= POINTS; point++)
		die_on_the_way(point);
	if (HAS_MALLOC) {
		refuse(1);
		refuse(5);
		stop_refused();
	} else {
		skip(1, "malloc is the sanitizer's");
	}
	tree_remove();
	return done_testing();
}
