/*
 * unit-main.c: main's leftovers when it calls pfk_master_run: descriptors,
 * unwritten output, handlers of atexit(3), and signals that it ignores.
 */
#include <errno.h>
#include <fcntl.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service.h"
#include "tap.h"
#include "unit.h"

static int kept[2], excepted[2], farewell[2];
static int late = -1, late_excepted = -1;
static struct stat pipe_stat, zero_stat;
static FILE *output;
static pid_t test;

static void
of_main(void)
{
	if (getpid() != test && write(farewell[1], "x", 1) == -1)
		abort();
}

static void
of_worker(void)
{
	pfk_log(PFK_INFO, "the worker's own handler");
}

/* Whether it is that file, because its number may be another one's. */
static const char *
state(int fd, const struct stat *was)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_ino == was->st_ino &&
		st.st_dev == was->st_dev
	    ? "open"
	    : "closed";
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	static struct pfk_listen at = {.kind = PFK_TCP};
	int fd;

	(void)arg;
	pfk_addr_parse(&at.addr, "127.0.0.1", 0);
	if (pfk_worker_listen(w, &at, 1, &fd) == -1)
		return -1;
	atexit(of_worker);
	if (write(kept[1], "k", 1) == -1)
		pfk_warn("kept");
	pfk_log(PFK_INFO, "excepted %s, late %s, late excepted %s",
	    state(excepted[1], &pipe_stat), state(late, &zero_stat),
	    state(late_excepted, &zero_stat));
	if (system("grep SigIgn /proc/self/status >&2") != 0)
		pfk_log(PFK_ERROR, "no SigIgn");
	pfk_log(PFK_INFO, "initialized");
	return 0;
}

static int
on_reload(struct pfk_master_config *config, void *arg)
{
	(void)config;
	(void)arg;
	late = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	late_excepted = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	pfk_keep_fd(late, true);
	fprintf(output, "reload\n");
	return 0;
}

static const struct pfk_hooks hooks = {.worker_init = worker_init,
    .on_reload = on_reload};

/* How often the text is in the output file. */
static int
written(const char *text)
{
	char buf[4096];
	ssize_t len = pread(fileno(output), buf, sizeof(buf) - 1, 0);
	int n = 0;

	buf[len > 0 ? len : 0] = '\0';
	for (const char *at = buf; (at = strstr(at, text)) != NULL; at++)
		n++;
	return n;
}

/* How many bytes are in the pipe. */
static int
arrived(int fd)
{
	char buf[100];
	ssize_t n = read(fd, buf, sizeof(buf));

	return n > 0 ? (int)n : 0;
}

/* No other than those that the manual names are ignored in its children. */
static void
check_signals(void)
{
	const uint64_t allowed = UINT64_C(1) << (SIGTTIN - 1) |
	    UINT64_C(1) << (SIGTTOU - 1) | UINT64_C(1) << 31 |
	    UINT64_C(1) << 32;
	/* The log escapes the tab. */
	static const char before[] = "SigIgn:\\x09";
	const char *at = strstr(service_log(), before);

	ok(at != NULL, "the mask of ignored signals");
	if (at != NULL)
		is_int(strtoull(at + strlen(before), NULL, 16) & ~allowed, 0,
		    "a child of a worker ignores no signal");
}

static void
prepare(void)
{
	static const int defaults[] = {SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE,
	    SIGALRM};

	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
		signal(defaults[i], SIG_DFL);
	test = getpid();
	output = tmpfile();
	if (output == NULL || pipe2(kept, O_NONBLOCK) == -1 ||
	    pipe2(excepted, O_NONBLOCK) == -1 ||
	    pipe2(farewell, O_NONBLOCK) == -1 ||
	    fstat(excepted[1], &pipe_stat) == -1 ||
	    stat("/dev/zero", &zero_stat) == -1)
		skip_all("no files: %s", strerror(errno));
	atexit(of_main);
	fprintf(output, "once\n");
}

static void
test_keep_fd(void)
{
	errno = 0;
	ok(pfk_keep_fd(STDERR_FILENO, false) == -1 && errno == EINVAL,
	    "a standard descriptor");
	errno = 0;
	ok(pfk_keep_fd(9999, true) == -1 && errno == EBADF,
	    "a descriptor that is closed");
	is_int(pfk_keep_fd(excepted[1], false), 0, "except a descriptor");
}

int
main(void)
{
	size_t at;
	pid_t worker;

	prepare();
	test_keep_fd();
	service_start(&hooks, 1);
	ok(service_wait(0,
	       "excepted closed, late closed, late excepted "
	       "closed"),
	    "descriptors at the start");
	worker = service_worker(0, 0);
	ok(service_wait(0, "initialized") && service_wait(0, "ready: 1 worker"),
	    "it is ready");
	is_int(arrived(kept[0]), 1, "the worker has the descriptor");
	check_signals();

	at = service_log_size();
	kill(worker, SIGKILL);
	ok(service_wait(at, "initialized"), "a successor of a killed worker");
	is_int(arrived(kept[0]), 1, "has the descriptor, too");

	at = service_log_size();
	service_signal(SIGHUP);
	ok(service_wait(at, "excepted closed, late open, late excepted closed"),
	    "a hook's descriptors after a reload");
	ok(service_wait(at, "has ended"), "the old worker has ended");
	is_int(service_count("the worker's own handler"), 1,
	    "a worker's own handler runs");
	is_int(WEXITSTATUS(service_end(SIGTERM)), 0, "end");
	is_int(arrived(farewell[0]), 0, "main's handlers run in no worker");
	is_int(written("once"), 1, "main's output is written once");
	is_int(written("reload"), 1, "so is that of a hook");
	return done_testing();
}
