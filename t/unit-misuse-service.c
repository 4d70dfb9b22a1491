/*
 * unit-misuse-service.c: mistakes in the use of master and workers. Each one
 * fails with its exit status and one line that names it.
 */
#include <errno.h>
#include <prefork.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#include "misuse.h"
#include "service.h"
#include "tap.h"
#include "unit.h"

static struct pfk_sockopts tuned;

static int
init(struct pfk_worker *w, void *arg)
{
	(void)w;
	(void)arg;
	return 0;
}

static int
run_master(int workers, const struct pfk_hooks *hooks)
{
	struct pfk_master_config config = {.workers = workers,
	    .control = "off"};

	return pfk_master_run(&config, hooks, NULL);
}

static int
strange_poller(void)
{
	struct pfk_master_config config = {.workers = 1,
	    .control = "off",
	    .poller = "kqueue"};
	const struct pfk_hooks hooks = {.worker_init = init};

	return pfk_master_run(&config, &hooks, NULL);
}

static int
no_workers(void)
{
	return run_master(0, &(struct pfk_hooks){.worker_init = init});
}

static int
negative_workers(void)
{
	return run_master(-1, &(struct pfk_hooks){.worker_init = init});
}

static int
too_many_workers(void)
{
	return run_master(PFK_WORKERS_MAX + 1,
	    &(struct pfk_hooks){.worker_init = init});
}

static int
no_init(void)
{
	return run_master(1, &(struct pfk_hooks){0});
}

static int
no_hooks(void)
{
	return run_master(1, NULL);
}

static int
no_config(void)
{
	return pfk_master_run(NULL, &(struct pfk_hooks){.worker_init = init},
	    NULL);
}

static int
init_1(struct pfk_worker *w, void *arg)
{
	(void)w;
	(void)arg;
	return 1;
}

static int
strange_init(void)
{
	return run_master(1, &(struct pfk_hooks){.worker_init = init_1});
}

static int
init_fails(struct pfk_worker *w, void *arg)
{
	(void)arg;
	return pfk_worker_fail(w, 0, "no reason");
}

static int
failed_with_0(void)
{
	return run_master(1, &(struct pfk_hooks){.worker_init = init_fails});
}

static int
init_listens(struct pfk_worker *w, void *arg)
{
	struct pfk_listen at[2] = {{.kind = PFK_TCP}, {.kind = PFK_TCP}};
	int fds[2];

	(void)arg;
	pfk_addr_parse(&at[0].addr, "127.0.0.1", 0);
	pfk_addr_parse(&at[1].addr, "127.0.0.1", 0);
	if (pfk_worker_listen(w, at, 2, fds) == 0 || errno != EINVAL ||
	    pfk_worker_listen(w, at, 0, fds) == 0 || errno != EINVAL)
		return pfk_worker_fail(w, 1, "no EINVAL");
	if (pfk_worker_listen(w, at, 1, fds) == -1 ||
	    pfk_worker_listen(w, at, 1, fds) == 0)
		return -1;
	return pfk_worker_fail(w, errno, "second listen");
}

static int
listen_twice(void)
{
	return run_master(1, &(struct pfk_hooks){.worker_init = init_listens});
}

static int
init_tunes(struct pfk_worker *w, void *arg)
{
	static int *const fields[] = {&tuned.nodelay, &tuned.quickack,
	    &tuned.reuse_port};
	struct pfk_listen at = {.kind = PFK_TCP, .options = &tuned};
	int fd;

	(void)arg;
	pfk_addr_parse(&at.addr, "127.0.0.1", 0);
	for (int i = 0; i < 3; i++) {
		pfk_sockopts_init(&tuned);
		*fields[i] = 0;
		if (pfk_worker_listen(w, &at, 1, &fd) == 0 || errno != EINVAL)
			return pfk_worker_fail(w, 1, "no EINVAL");
	}
	return pfk_worker_fail(w, errno, "three options");
}

static int
tuned_listener(void)
{
	return run_master(1, &(struct pfk_hooks){.worker_init = init_tunes});
}

static int
init_runs(struct pfk_worker *w, void *arg)
{
	(void)arg;
	return pfk_worker_fail(w,
	    run_master(1, &(struct pfk_hooks){.worker_init = init}),
	    "a master in a worker");
}

static int
master_in_worker(void)
{
	return run_master(1, &(struct pfk_hooks){.worker_init = init_runs});
}

static const struct misuse rows[] = {
    {"0 workers", no_workers, EX_SOFTWARE, "0 workers; it is 1 to 1024"},
    {"-1 workers", negative_workers, EX_SOFTWARE, "-1 workers"},
    {"1025 workers", too_many_workers, EX_SOFTWARE, "1025 workers"},
    {"a poller that there is not", strange_poller, EX_SOFTWARE,
	"pfk_master_run: the poller is kqueue; it is epoll, poll or auto"},
    {"no worker_init", no_init, EX_SOFTWARE, "no worker_init"},
    {"no hooks", no_hooks, EX_SOFTWARE, "no hooks"},
    {"no configuration", no_config, EX_SOFTWARE, "no configuration"},
    {"worker_init returns 1", strange_init, EX_SOFTWARE,
	"worker_init returned 1"},
    {"a failure with status 0", failed_with_0, EX_SOFTWARE, "no reason"},
    {"listen twice", listen_twice, EBUSY,
	"one call opens all listeners of a worker"},
    {"a listener with an option of connections", tuned_listener, EINVAL,
	"reuse_port is no option of a listener"},
    {"a master in a worker", master_in_worker, EX_SOFTWARE,
	"pfk_master_run: it runs already"},
};

/* in a worker */

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	return tr;
}

static void *
resumed(struct pfk_transport *tr, void *arg, const void *buf, size_t len)
{
	(void)arg;
	(void)buf;
	(void)len;
	return tr;
}

struct pfk_server *server; /* not static: it is no leak */
static const char *what;
static struct pfk_addr *where; /* shared with the worker */

static void
received(void *self, const void *buf, size_t len)
{
	(void)len;
	if (*(const char *)buf == 'f' && fork() == 0)
		return;
	pfk_write(self, buf, 1);
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	static const struct pfk_protocol plain = {.connection_made = made,
	    .data_received = received};
	static const struct pfk_protocol survivor = {.connection_made = made,
	    .data_received = received,
	    .connection_resumed = resumed,
	    .survives = true};
	struct pfk_listen at = {.kind = PFK_TCP};
	int fd;

	(void)arg;
	pfk_addr_parse(&at.addr, "127.0.0.1", 0);
	if (pfk_worker_listen(w, &at, 1, &fd) == -1)
		return -1;
	server = pfk_serve(pfk_worker_loop(w), fd,
	    strcmp(what, "plain") == 0 ? &plain : &survivor, NULL, NULL);
	if (server == NULL)
		return -1;
	where->len = sizeof(where->in6);
	return getsockname(fd, &where->sa, &where->len);
}

/* The child ends; the parent answers each byte once, and its ledger is right. */
static void
test_fork_in_worker(const char *kind)
{
	const struct pfk_hooks hooks = {.worker_init = worker_init};
	char buf[8] = "";
	int fd;

	what = kind;
	service_start(&hooks, 1);
	ok(service_wait(0, "ready: 1"), "%s: ready", kind);
	fd = unit_connect(where);
	unit_write(fd, "f", 1);
	ok(unit_read(fd, buf, 1) == 1 && buf[0] == 'f', "%s: answered", kind);
	ok(service_wait(0, "the child of a fork(2) in a callback"),
	    "%s: the child is ended", kind);
	unit_write(fd, "x", 1);
	is_int(unit_read(fd, buf, 1), 1, "%s: the parent serves on", kind);
	is_int(buf[0], 'x', "%s: no answer came twice", kind);
	is_int(service_end(SIGTERM), 0, "%s: end", kind);
	close(fd);
}

/* A configuration that no worker could boot with. */

static void (*spoil)(struct pfk_master_config *config);

static void
spoil_workers(struct pfk_master_config *config)
{
	config->workers = 0;
}

static void
spoil_poller(struct pfk_master_config *config)
{
	config->poller = "kqueue";
}

static int
on_reload(struct pfk_master_config *config, void *arg)
{
	(void)arg;
	spoil(config);
	return 0;
}

static void
test_reload(void (*by)(struct pfk_master_config *config), const char *line)
{
	const struct pfk_hooks hooks = {.worker_init = init,
	    .on_reload = on_reload};

	spoil = by;
	service_start(&hooks, 1);
	ok(service_wait(0, "ready: 1"), "%s: ready", line);
	service_signal(SIGHUP);
	ok(service_wait(0, line), "%s: refused", line);
	is_int(service_end(SIGTERM), 0, "%s: end", line);
}

int
main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		misuse_try(&rows[i]);
	where = mmap(NULL, sizeof(*where), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (where == MAP_FAILED)
		skip_all("no memory");
	test_fork_in_worker("plain");
	test_fork_in_worker("survivor");
	test_reload(spoil_workers, "on_reload set 0 workers");
	test_reload(spoil_poller,
	    "on_reload set the poller kqueue; it is epoll, poll or auto");
	return done_testing();
}
