/*
 * prepare.c: a reload is prepared in a child, and the master goes on meanwhile.
 * The child of this test waits for as long as the test wants.
 */
#include <poll.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process/master.h"
#include "service.h"
#include "tap.h"

/* More than a pipe holds. */
#define MANY (1 << 20)

enum how { GOOD, WAITS, REFUSES, DIES };

static volatile struct gate {
	enum how how;
	pid_t pid; /* of the last child */
} * gate;

static int number; /* of the configuration */
static struct pfk_sockopts options;
static struct pfk_listen want = {.kind = PFK_TCP, .options = &options};
struct pfk_server *server; /* not static: it is no leak */

/* the service */

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	return tr;
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	static const struct pfk_protocol none = {.connection_made = made};
	int fd;

	(void)arg;
	if (pfk_worker_listen(w, &want, 1, &fd) == -1)
		return -1;
	pfk_log(PFK_INFO, "serves with configuration %d", number);
	server = pfk_serve(pfk_worker_loop(w), fd, &none, NULL, NULL);
	return server == NULL ? -1 : 0;
}

static int
prepare(int fd, void *arg)
{
	static char bytes[MANY];

	(void)arg;
	gate->pid = getpid();
	pfk_log(PFK_INFO, "preparing");
	while (gate->how == WAITS)
		usleep(5000);
	if (gate->how == REFUSES)
		return pfk_reload_fail("no such host");
	memset(bytes, 'x', sizeof(bytes));
	for (size_t n = 0; n < sizeof(bytes);) {
		ssize_t more = write(fd, bytes + n, sizeof(bytes) - n);

		if (more == -1)
			return pfk_reload_fail("cannot write");
		n += (size_t)more;
		if (gate->how == DIES)
			raise(SIGKILL);
	}
	return 0;
}

static int
on_reload(struct pfk_master_config *config, void *arg)
{
	const char *bytes;
	size_t size;

	(void)arg;
	bytes = pfk_reload_prepared(&size);
	if (size != MANY || bytes[0] != 'x' || bytes[MANY - 1] != 'x')
		return pfk_reload_fail("%zu bytes have come", size);
	config->workers = 2;
	number++;
	return 0;
}

static void
reload_done(bool ok, void *arg)
{
	(void)arg;
	if (!ok)
		number--;
}

static const struct pfk_hooks hooks = {.worker_init = worker_init,
    .prepare_reload = prepare,
    .on_reload = on_reload,
    .reload_done = reload_done};

/* the test */

static void
start(enum how how, uint64_t bound_ns)
{
	pfk__reload_bound_ns = bound_ns;
	number = 1;
	gate->how = how;
	service_start(&hooks, 2);
	ok(service_wait(0, "ready: 2 workers") != 0, "ready");
}

static void
end(void)
{
	if (!is_int(service_end(SIGTERM), 0, "exit status"))
		diag("%s", service_log());
}

/* Send it, and wait for the text; where that ends. */
static size_t
signalled(int signo, const char *text)
{
	size_t at = service_log_size();

	service_signal(signo);
	at = service_wait(at, text);
	ok(at != 0, "signal %d: %s", signo, text);
	return at;
}

/* The master does its work and takes orders; a later order counts. */
static void
goes_on(void)
{
	size_t at;

	start(GOOD, pfk__reload_bound_ns);
	gate->how = WAITS;
	signalled(SIGHUP, "preparing");
	at = service_log_size();
	kill(service_worker(0, 1), SIGKILL);
	ok(service_wait(at, "serves with configuration 1") != 0,
	    "a worker that dies meanwhile is replaced");
	signalled(SIGTTIN, "the number of workers is 3 ");
	ok(service_wait(at, "started worker 2 (") != 0, "one more is started");
	at = signalled(SIGHUP, "a reload is under way; the next one starts");
	gate->how = GOOD;
	at = service_wait(at, "reloaded: 3 workers\n");
	ok(at != 0, "it ends, with the number that was ordered meanwhile");
	ok(service_wait(at, "reloaded: 2 workers\n") != 0,
	    "and the reload that was asked for meanwhile follows");
	ok(service_wait(0, "serves with configuration 3") != 0, "both counted");
	end();
}

static void
refuses(enum how how, const char *text)
{
	int fds;

	start(GOOD, 3 * PFK_SECOND_NS);
	fds = service_fds();
	gate->how = how;
	signalled(SIGHUP, text);
	is_int(service_fds(), fds, "no descriptor is left");
	is_int(service_count("serves with configuration 2"), 0,
	    "nobody has started with it");
	gate->how = GOOD;
	signalled(SIGHUP, "reloaded: 2 workers\n");
	end();
}

static void
obeys(int signo)
{
	struct pollfd ended = {.events = POLLIN};

	start(GOOD, pfk__reload_bound_ns);
	gate->how = WAITS;
	signalled(SIGHUP, "preparing");
	/* It is not our child: process 1 may reap it later. */
	ended.fd = (int)syscall(SYS_pidfd_open, gate->pid, 0);
	is_int(service_end(signo), 0, "signal %d meanwhile: it ends", signo);
	is_int(service_count("refused"), 0, "without a result");
	is_int(poll(&ended, 1, 10 * 1000), 1, "and its process has ended");
	close(ended.fd);
}

int
main(void)
{
	gate = mmap(NULL, sizeof(*gate), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (gate == MAP_FAILED)
		skip_all("no shared memory");
	service_no_keeper = true;
	pfk_sockopts_init(&options);
	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	goes_on();
	refuses(REFUSES, "reload refused: no such host; nothing has changed");
	refuses(WAITS,
	    "reload refused: its names were not looked up within 3 s");
	refuses(DIES,
	    "reload refused: the process that looks its names up has died");
	obeys(SIGTERM);
	obeys(SIGINT);
	return done_testing();
}
