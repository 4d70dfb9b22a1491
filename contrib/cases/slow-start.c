/*
 * slow-start.c: an echo server with a reload that adds an address, which slot 0
 * opens late, as after a slow look-up: a sibling has time to open it first.
 */
#include <prefork.h>
#include <unistd.h>

#define LATE_US 500000

static int addresses = 1;

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	return tr;
}

static void
received(void *self, const void *buf, size_t len)
{
	pfk_write(self, buf, len);
}

static const struct pfk_protocol echo = {made, received};

static int
worker_init(struct pfk_worker *w, void *arg)
{
	struct pfk_listen where[2] = {{.kind = PFK_TCP}, {.kind = PFK_TCP}};
	int fds[2];

	(void)arg;
	pfk_addr_parse(&where[0].addr, "127.0.0.1", 9017);
	pfk_addr_parse(&where[1].addr, "127.0.0.1", 9018);
	if (addresses == 2 && pfk_worker_slot(w) == 0)
		usleep(LATE_US);
	if (pfk_worker_listen(w, where, (size_t)addresses, fds) == -1)
		return -1;
	for (int i = 0; i < addresses; i++)
		pfk_serve(pfk_worker_loop(w), fds[i], &echo, NULL, NULL);
	return 0;
}

static int
on_reload(struct pfk_master_config *config, void *arg)
{
	(void)config;
	(void)arg;
	addresses = 2;
	return 0;
}

static void
reload_done(bool good, void *arg)
{
	(void)arg;
	if (!good)
		addresses = 1;
}

int
main(void)
{
	struct pfk_master_config config = {.workers = 2};
	struct pfk_hooks hooks = {.worker_init = worker_init,
	    .on_reload = on_reload,
	    .reload_done = reload_done};

	return pfk_master_run(&config, &hooks, NULL);
}
