/*
 * spawn.c: processes that begin with the master's descriptor table have the
 * same descriptors as forked ones, and the master keeps none for them.
 */
#include <dirent.h>
#include <limits.h>
#include <prefork.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process/spawn.h"
#include "service.h"
#include "tap.h"

#define WORKERS 5

static int forks;
struct pfk_server *server; /* not static: it is no leak */
struct pfk_datagram *datagram;

/* the service */

static void
count_fork(void)
{
	forks++;
}

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	return tr;
}

static void
data_received(void *self, const void *buf, size_t len)
{
	pfk_write(self, buf, len);
}

static int
count_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = -3; /* the directory's own, and . and .. */

	while (d != NULL && readdir(d) != NULL)
		n++;
	if (d != NULL)
		closedir(d);
	return n;
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	static const struct pfk_protocol echo = {.connection_made = made,
	    .data_received = data_received};
	static const struct pfk_datagram_protocol none = {0};
	static struct pfk_sockopts options;
	struct pfk_listen want[2] = {{.kind = PFK_TCP, .options = &options},
	    {.kind = PFK_UDP, .options = &options}};
	int fds[2];

	(void)arg;
	pfk_sockopts_init(&options);
	for (int i = 0; i < 2; i++)
		pfk_addr_parse(&want[i].addr, "127.0.0.1", 0);
	if (pfk_worker_listen(w, want, 2, fds) == -1)
		return -1;
	server = pfk_serve(pfk_worker_loop(w), fds[0], &echo, NULL, NULL);
	datagram = pfk_datagram_open(pfk_worker_loop(w), fds[1], &none, NULL);
	pfk_log(PFK_INFO, "forks: %d, descriptors: %d.", forks,
	    count_descriptors());
	return server != NULL && datagram != NULL ? 0 : -1;
}

static const struct pfk_hooks hooks = {.worker_init = worker_init};

/* the test */

/* Of the last worker that has booted. */
static int
descriptors(void)
{
	const char *at = service_log(), *next;
	int n = -1;

	while ((next = strstr(at, "descriptors: ")) != NULL) {
		at = next + 1;
		n = (int)strtol(next + strlen("descriptors: "), NULL, 10);
	}
	return n;
}

/* Those of the master once nothing is under way. */
static int
settled_descriptors(int expected)
{
	for (int i = 0; i < 500 && service_fds() != expected; i++)
		usleep(20000);
	return service_fds();
}

static void
lead_a_life(int many, const char *name, int *workers, int *master)
{
	uint16_t port;
	size_t at;
	pid_t pid;
	int fd;

	pfk__spawn_many = many;
	service_start(&hooks, WORKERS);
	ok(service_wait(0, "ready: 5 workers") != 0, "%s: ready", name);
	*workers = descriptors();
	*master = service_fds();
	port = service_port();
	at = service_log_size();
	service_signal(SIGHUP);
	ok(service_wait(at, "reloaded: 5 workers") != 0, "%s: a reload", name);
	is_int(descriptors(), *workers, "%s: a worker's descriptors after it",
	    name);
	pid = service_worker(at, 0);
	at = service_log_size();
	kill(pid, SIGKILL);
	ok(service_wait(at, "started worker 0") != 0, "%s: and after a death",
	    name);
	fd = service_connect(port, 0);
	ok(service_echoes(fd, 'a'), "%s: a client is served", name);
	close(fd);
	is_int(settled_descriptors(*master), *master,
	    "%s: the master's descriptors are as before", name);
}

int
main(void)
{
	/* Linux 5.9; a sandbox may deny it. */
	bool may_share = close_range(~0u, ~0u, CLOSE_RANGE_UNSHARE) == 0;
	int forked_worker, forked_master, worker, master;

	pthread_atfork(NULL, NULL, count_fork);
	lead_a_life(INT_MAX, "forked", &forked_worker, &forked_master);
	is_int(service_end(SIGTERM), 0, "exit status");
	lead_a_life(WORKERS, "shared", &worker, &master);
	is_int(worker, forked_worker, "a worker has the same descriptors");
	/* The master is a child of this process. */
	is_int(service_count("forks: 1,") > 0, may_share,
	    "they share the table where the kernel can");
	is_int(service_count("forks: 2,") == 0, may_share,
	    "each of them, because a berth is free again");
	if (may_share)
		is_int(master, forked_master + PFK__BERTHS * PFK__BERTH + 1,
		    "the master has those of the berths, too");
	is_int(service_end(SIGTERM), 0, "exit status");
	return done_testing();
}
