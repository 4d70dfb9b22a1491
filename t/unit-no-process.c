/*
 * keeper.c: while a limit lets the keeper start no worker, that worker's boot fails;
 * it does not serve without a keeper from then on.
 */
#include <dlfcn.h>
#include <errno.h>
#include <prefork.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "echo.h"
#include "service.h"
#include "tap.h"

static struct pfk_listen want = {.kind = PFK_TCP};
static volatile int *limit; /* the error of clone(2), or 0 */

/* The keeper's way to clone(2).  Most calls have fewer than the six arguments. */
__attribute__((no_sanitize_address)) long
syscall(long sysno, ...)
{
	long (*next)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT,
	    "syscall");
	long a[6];
	va_list ap;

	va_start(ap, sysno);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (sysno == SYS_clone && limit != NULL && *limit != 0) {
		errno = *limit;
		return -1;
	}
	return next(sysno, a[0], a[1], a[2], a[3], a[4], a[5]);
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

static void
test_start(void)
{
	*limit = ENOMEM;
	service_start(&hooks, 1);
	ok(service_wait(0, "cannot start: Cannot allocate memory") > 0,
	    "a start without memory says so");
	ok(WEXITSTATUS(service_end(0)) != 0, "and fails");
}

static void
test_reload(void)
{
	size_t at;
	pid_t worker;
	int client;

	*limit = 0;
	service_start(&hooks, 1);
	service_wait(0, "ready: 1 worker");
	client = service_connect(service_port(), 0);
	ok(service_echoes(client, 'a'), "a connection");
	*limit = EAGAIN;
	at = service_log_size();
	service_signal(SIGHUP);
	ok(service_wait(at, "no process can be started; raise") > 0,
	    "a reload at the limit names it");
	ok(service_echoes(client, 'b'), "the connection goes on");
	*limit = 0;
	at = service_log_size();
	service_signal(SIGHUP);
	ok(service_wait(at, "reloaded: 1 worker") > 0, "the next reload works");
	ok(service_echoes(client, 'c'), "the connection goes on");
	worker = service_worker(at, 0);
	at = service_log_size();
	kill(worker, SIGKILL);
	ok(service_wait(at, "killed by signal 9") > 0, "its worker is killed");
	ok(service_echoes(client, 'd'), "the connection goes on");
	close(client);
	is_int(service_end(SIGTERM), 0, "it ends as asked");
}

int
main(void)
{
	limit = mmap(NULL, sizeof(*limit), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (limit == MAP_FAILED)
		skip_all("no shared memory");
	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	test_start();
	test_reload();
	return done_testing();
}
