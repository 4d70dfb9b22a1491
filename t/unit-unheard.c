/*
 * keeper.c, hear.c: a death is logged by the keeper, because the master does not
 * answer, and the master answers before the keeper goes on: it is logged once.
 */
#include <prefork.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "echo.h"
#include "service.h"
#include "tap.h"

#define UNHEARD "while the master does not answer"

static struct pfk_listen want = {.kind = PFK_TCP};
static volatile pid_t *stopped; /* the keeper that has logged a death */

/* The keeper stops once its line is written; the log process writes it later. */
ssize_t
write(int fd, const void *buf, size_t n)
{
	bool stops = *stopped == 0 &&
	    memmem(buf, n, UNHEARD, sizeof(UNHEARD) - 1) != NULL;
	ssize_t done;

	if (stops)
		*stopped = getpid();
	done = syscall(SYS_write, fd, buf, n);
	if (stops)
		raise(SIGSTOP);
	return done;
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	static const struct pfk_protocol echo = {.connection_made = echo_made,
	    .data_received = echo_received,
	    .connection_resumed = echo_resumed,
	    .survives = true};

	(void)arg;
	return echo_serve(w, &want, &echo);
}

static const struct pfk_hooks hooks = {.worker_init = worker_init};

int
main(void)
{
	size_t at;
	int client;

	stopped = mmap(NULL, sizeof(*stopped), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stopped == MAP_FAILED)
		skip_all("no shared memory");
	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	service_start(&hooks, 1);
	service_wait(0, "ready: 1 worker");
	client = service_connect(service_port(), 0);
	ok(service_echoes(client, 'a'), "a connection");
	at = service_log_size();
	service_signal(SIGSTOP);
	kill(service_worker(0, 0), SIGKILL);
	ok(service_wait(at, UNHEARD) > 0, "the keeper logs the death");
	service_signal(SIGCONT);
	ok(service_wait(at, "started worker 0") > 0, "the master learns of it");
	is_int(service_count("killed by signal 9"), 1, "it is logged once");
	kill(*stopped, SIGCONT);
	ok(service_echoes(client, 'b'), "the connection goes on");
	close(client);
	is_int(service_end(SIGTERM), 0, "it ends as asked");
	return done_testing();
}
