/*
 * Listeners are ordered by the time of their opening, and not by that at which the
 * master hears of them: a worker whose second one is announced late is in its place
 * all the same, so that fewer workers can close those of the last slot.
 */
#include <prefork.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "process/channel.h"
#include "process/worker.h"
#include "service.h"
#include "tap.h"

#define TURNS 10000

static struct pfk_sockopts options;
static struct pfk_listen want[2] = {{.kind = PFK_TCP}, {.kind = PFK_TCP}};
struct pfk_server *servers[2]; /* not static: they are no leak */

/* Shared: the last slot's worker has announced its own. */
static volatile int *last_has;

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	return tr;
}

/* Sends the worker's messages on, the second one after the last slot's. */
static int
announce_late(struct pfk_worker *w, int from)
{
	struct pfk__message m;
	int fd;

	for (int i = 0; i < 2; i++) {
		if (pfk__channel_receive(from, &m, &fd) != 1)
			return -1;
		for (int n = 0; i == 1 && !*last_has && n < TURNS; n++)
			usleep(1000);
		if (pfk__channel_send(w->channel, &m, fd) == -1)
			return -1;
		close(fd);
	}
	return 0;
}

static int
listen_late(struct pfk_worker *w, int *fds)
{
	int channel = w->channel, pair[2], rc;

	if (pfk__channel_pair(pair) == -1)
		return -1;
	w->channel = pair[0];
	rc = pfk_worker_listen(w, want, 2, fds);
	w->channel = channel;
	if (rc == 0)
		rc = announce_late(w, pair[1]);
	close(pair[0]);
	close(pair[1]);
	return rc;
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	static const struct pfk_protocol proto = {.connection_made = made};
	int fds[2];

	(void)arg;
	if (pfk_worker_slot(w) == 1) {
		if (listen_late(w, fds) == -1)
			return -1;
	} else if (pfk_worker_listen(w, want, 2, fds) == -1) {
		return -1;
	}
	for (size_t i = 0; i < 2; i++) {
		servers[i] = pfk_serve(pfk_worker_loop(w), fds[i], &proto, NULL,
		    NULL);
		if (servers[i] == NULL)
			return -1;
	}
	if (pfk_worker_slot(w) == 2)
		*last_has = 1;
	return 0;
}

static const struct pfk_hooks hooks = {.worker_init = worker_init};

int
main(void)
{
	size_t at;

	pfk_sockopts_init(&options);
	want[0].options = want[1].options = &options;
	pfk_addr_parse(&want[0].addr, "127.0.0.1", 0);
	pfk_addr_parse(&want[1].addr, "127.0.0.2", 0);
	last_has = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (last_has == MAP_FAILED)
		skip_all("no shared memory");

	service_start(&hooks, 3);
	ok((at = service_wait(0, "ready: 3 workers")) != 0, "ready");

	is_int(*last_has, 1, "the last slot's listeners were announced");
	service_signal(SIGTTOU);
	ok((at = service_wait(at, "the number of workers is 2 ")) != 0,
	    "a worker fewer");
	ok(service_wait(at,
	       "closed the listeners of removed slots; 2 workers") != 0,
	    "its listeners are closed");
	is_int(service_end(SIGTERM), 0, "exit status");
	return done_testing();
}
