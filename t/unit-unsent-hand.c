/*
 * A worker that echoes by pfk_join is killed at each point while a client sends
 * and does not read: whatever its successor cannot send at once comes later.
 */
#include <prefork.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "echo.h"
#include "service.h"
#include "tap.h"

#define POINTS_MAX 400
#define BUFFER 16384
/* More than the buffers of the way back hold. */
#define BYTES 150000
/* Turns of the worker, each with a read of the other client's bytes. */
#define TURNS 16

static volatile struct plan {
	int clients;
	uint64_t point; /* at which it dies, from the second client on */
} * plan;

static struct pfk_sockopts options;
static struct pfk_listen want = {.kind = PFK_TCP, .options = &options};
static struct pfk_loop *loop;

static void *
connection_made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	pfk_join(tr, tr);
	if (++plan->clients == 2)
		pfk_die_at(loop, plan->point);
	return tr;
}

static void *
connection_resumed(struct pfk_transport *tr, void *arg, const void *buf,
    size_t len)
{
	pfk_join(tr, tr);
	return echo_resumed(tr, arg, buf, len);
}

static const struct pfk_protocol echo = {.connection_made = connection_made,
    .connection_resumed = connection_resumed,
    .survives = true};

static int
worker_init(struct pfk_worker *w, void *arg)
{
	(void)arg;
	loop = pfk_worker_loop(w);
	return echo_serve(w, &want, &echo);
}

static const struct pfk_hooks hooks = {.worker_init = worker_init};

/* False: that point does not come. */
static bool
die_at(uint64_t point)
{
	static char sent[BYTES], got[BYTES];
	unsigned p = (unsigned)point;
	int client, other, n = 0;
	uint16_t port;
	bool good;

	*plan = (struct plan){.point = point};
	for (size_t i = 0; i < BYTES; i++)
		sent[i] = (char)(i * 7 + i / 251);
	service_start(&hooks, 1);
	port = service_port();
	client = service_connect(port, BUFFER);
	ok(service_echoes(client, 'a'), "%u: the client is served", p);
	other = service_connect(port, 0);
	is_int(send(client, sent, BYTES, MSG_NOSIGNAL), BYTES, "%u: it sends",
	    p);
	for (int i = 0; i < TURNS; i++)
		n += service_echoes(other, 'o');
	is_int(n, TURNS, "%u: another one goes on", p);
	good = is_int(recv(client, got, BYTES, MSG_WAITALL), BYTES,
	    "%u: all bytes come", p);
	good = ok(memcmp(got, sent, BYTES) == 0, "%u: unchanged", p) && good;
	good = ok(service_echoes(client, 'z'), "%u: it goes on", p) && good;
	if (!good)
		diag("%s", service_log());
	close(client);
	close(other);
	is_int(service_end(SIGTERM), 0, "%u: exit status", p);
	return service_count("killed by signal 9") > 0;
}

int
main(void)
{
	uint64_t point = 1;

	plan = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (plan == MAP_FAILED)
		skip_all("no shared memory");
	pfk_sockopts_init(&options);
	options.send_buffer = BUFFER;
	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	while (point < POINTS_MAX && die_at(point))
		point++;
	ok(point > 3 * TURNS && point < POINTS_MAX, "%u points",
	    (unsigned)point);
	return done_testing();
}
