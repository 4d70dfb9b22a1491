/*
 * service.h: a master with workers in a child of the test's.
 */
#include "service.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"
#include "tree.h"

#define SOON_MS 30000

bool service_no_keeper;
uint64_t service_drain_ns;
uint64_t service_orphan_ns;
enum pfk_sandbox service_sandbox;
const char *service_control = "off";

static pid_t master;
static int ear;
static char text[1 << 22];
static size_t len;

const char *
service_place(const char *name)
{
	static const char *dir;
	static char path[80];

	if (dir == NULL)
		dir = tree_make();
	snprintf(path, sizeof(path), "%s/%s.sock", dir, name);
	service_control = path;
	return dir;
}

int
service_connect_control(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", service_control);
	if (fd == -1 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	close(fd);
	return -1;
}

void
service_start(const struct pfk_hooks *hooks, int workers)
{
	struct pfk_master_config config = {.workers = workers,
	    .shutdown_ns = PFK_SECOND_NS,
	    .drain_ns = service_drain_ns,
	    .orphan_ns = service_orphan_ns,
	    .no_keeper = service_no_keeper,
	    .sandbox = service_sandbox,
	    .control = service_control};
	int fds[2];

	if (pipe(fds) == -1)
		skip_all("no pipe");
	len = 0;
	text[0] = '\0';
	master = fork();
	if (master == -1)
		skip_all("no fork");
	if (master == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		pfk_log_open("-");
		_exit(pfk_master_run(&config, hooks, NULL));
	}
	close(fds[1]);
	ear = fds[0];
}

const char *
service_log(void)
{
	return text;
}

size_t
service_log_size(void)
{
	return len;
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Read on in the log; false at its end. */
static bool
hear(void)
{
	ssize_t n = read(ear, text + len, sizeof(text) - 1 - len);

	if (n <= 0)
		return false;
	len += (size_t)n;
	text[len] = '\0';
	return true;
}

size_t
service_wait(size_t offset, const char *what)
{
	int64_t until = now_ms() + SOON_MS;
	struct pollfd p = {.fd = ear, .events = POLLIN};
	const char *found;

	while ((found = strstr(text + offset, what)) == NULL) {
		if (now_ms() > until)
			return 0;
		if (poll(&p, 1, 50) == 1 && !hear())
			return 0;
	}
	return (size_t)(found - text) + strlen(what);
}

int
service_count(const char *what)
{
	int n = 0;

	for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
		n++;
	return n;
}

pid_t
service_worker(size_t offset, int slot)
{
	char pattern[40];

	snprintf(pattern, sizeof(pattern), "started worker %d (", slot);
	offset = service_wait(offset, pattern);
	if (offset != 0 && service_wait(offset, ")") != 0)
		return (pid_t)atoi(text + offset);
	/* Not -1: a test kills it, and kill(2) of -1 is everybody. */
	fail("worker %d was not started", slot);
	diag("%s", text);
	kill(master, SIGKILL);
	exit(done_testing());
}

uint16_t
service_port(void)
{
	return (uint16_t)atoi(
	    service_log() + service_wait(0, "serving on tcp 127.0.0.1:"));
}

uint16_t
service_free_port(const struct pfk_hooks *hooks, int workers)
{
	uint16_t port;

	service_start(hooks, workers);
	service_wait(0, "ready: ");
	port = service_port();
	is_int(service_end(SIGTERM), 0, "a port that is free");
	return port;
}

int
service_connect(uint16_t port, int recv_bytes)
{
	struct timeval patience = {.tv_sec = 10};
	struct pfk_addr a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd == -1)
		return -1;
	if (recv_bytes > 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &recv_bytes,
		    sizeof(recv_bytes));
	pfk_addr_parse(&a, "127.0.0.1", port);
	if (connect(fd, &a.sa, a.len) == -1) {
		close(fd);
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

bool
service_echoes(int client, char byte)
{
	char buf[8];

	return send(client, &byte, 1, MSG_NOSIGNAL) == 1 &&
	    recv(client, buf, sizeof(buf), 0) == 1 && buf[0] == byte;
}

int
service_fds(void)
{
	char command[80];
	int n = -1;
	FILE *f;

	snprintf(command, sizeof(command), "ls /proc/%d/fd | wc -l",
	    (int)master);
	f = popen(command, "r");
	if (f != NULL && fscanf(f, "%d", &n) != 1)
		n = -1;
	if (f != NULL)
		pclose(f);
	return n;
}

int
service_signal(int signo)
{
	return kill(master, signo);
}

int
service_end(int signo)
{
	struct pollfd p = {.fd = ear, .events = POLLIN};
	int status = -1;

	kill(master, signo);
	waitpid(master, &status, 0);
	while (poll(&p, 1, 0) == 1 && hear())
		;
	close(ear);
	/* A worker's exit status alone fails no test. */
	if (strstr(text, "Sanitizer: ") != NULL) {
		fail("a sanitizer's report");
		diag("%s", text);
	}
	return status;
}
