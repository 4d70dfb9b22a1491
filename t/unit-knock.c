/*
 * Knocks at the control socket that name a process which is not the sender's keeper:
 * they are refused, and the master signals nobody whom they name.
 */
#include <poll.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/received.h"
#include "linger.h"
#include "process/takeover.h"
#include "service.h"
#include "tap.h"
#include "tree.h"
#include "unit.h"

/* Shared: the answer to a process of the service. */
static char *answer;

#define ANSWER_SIZE 200
#define WORKERS 2
/* For each worker so many that leave may knock. */
#define LEAVERS 16

static int slot; /* of the knocks; below 0: of workers that leave */

/* Knock; the answer's descriptor. */
static int
knock(pid_t keeper, uint64_t generation, int channel)
{
	struct pfk__knock k = {.first = 2,
	    .version = PFK__KNOCK_VERSION,
	    .message_bytes = sizeof(struct pfk__message),
	    .slot = slot,
	    .workers = WORKERS,
	    .keeper = keeper,
	    .generation = generation};
	int fd = service_connect_control();

	linger_send(fd, &k, sizeof(k), &channel, 1);
	return fd;
}

/* The channel breaks, so that the master would kill the worker and its keeper. */
static void
end(int fd, int channel, char *text)
{
	struct pollfd p = {.fd = channel, .events = POLLIN};
	ssize_t n = unit_read(fd, text, ANSWER_SIZE - 1);

	text[n > 0 ? n : 0] = '\0';
	if (send(channel, "garbage", 7, MSG_NOSIGNAL) == 7)
		poll(&p, 1, 5000);
	close(fd);
	close(channel);
}

static void
pair(int fds[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) == -1)
		skip_all("no socket pair");
}

static pid_t
start_victim(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		for (;;)
			pause();
	}
	return pid;
}

/* The descriptor in the socket's queue, or -1. */
static int
take_fd(int from)
{
	struct pfk__parcel p;
	char c;

	return pfk__receive(from, &c, 1, &p) == 1 ? p.fds[0] : -1;
}

/* The sender has ended, so that nobody knows its parent. */
static void
knock_and_die(pid_t keeper, char *text)
{
	int fds[2], report[2], fd;
	pid_t pid;

	pair(fds);
	pair(report);
	service_signal(SIGSTOP);
	pid = fork();
	if (pid == 0) {
		fd = knock(keeper, 7, fds[1]);
		linger_send(report[1], "x", 1, &fd, 1);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	service_signal(SIGCONT);
	close(fds[1]);
	close(report[1]);
	end(take_fd(report[0]), fds[0], text);
	close(report[0]);
}

static void
test_victim(void)
{
	pid_t victim = start_victim();
	char text[ANSWER_SIZE];
	int status, fds[2];

	knock_and_die(victim, text);
	is_str(strncmp(text, "ERR 69 ", 7) == 0 ? "refused" : text, "refused",
	    "a knock of a process that has ended");
	pair(fds);
	end(knock(victim, 7, fds[1]), fds[0], text);
	is_str(strncmp(text, "ERR 69 ", 7) == 0 ? "refused" : text, "refused",
	    "and of one with another parent");
	close(fds[1]);
	is_int(waitpid(victim, &status, WNOHANG), 0,
	    "the process that they name is not killed");
	kill(victim, SIGKILL);
	waitpid(victim, &status, 0);
}

static void
test_generation(void)
{
	char text[ANSWER_SIZE];
	int fds[2];

	pair(fds);
	end(knock(0, UINT64_MAX, fds[1]), fds[0], text);
	ok(strstr(text, "makes no sense") != NULL,
	    "a generation that leaves none for others: %s", text);
	close(fds[1]);
}

/* A grandchild of the worker has the master as its parent. */
static void
on_order(void *arg, int signo)
{
	pid_t keeper = getppid(), parent;
	int fds[2];

	(void)arg;
	(void)signo;
	if (fork() != 0)
		return;
	parent = getpid();
	if (fork() != 0)
		_exit(0);
	while (getppid() == parent)
		poll(NULL, 0, 5);
	if (getppid() != keeper)
		pfk_log(PFK_INFO, "its parent is the master");
	pair(fds);
	end(knock(getppid(), 7, fds[1]), fds[0], answer);
	pfk_log(PFK_INFO, "it has knocked");
	_exit(0);
}

static void
test_master(void)
{
	size_t at = service_log_size();

	kill(service_worker(0, 0), SIGUSR2);
	ok(service_wait(at, "its parent is the master") != 0,
	    "a process with the master as its parent");
	ok(service_wait(at, "it has knocked") != 0, "knocks");
	ok(strncmp(answer, "ERR 69 ", 7) == 0, "and is refused: %s", answer);
	at = service_log_size();
	service_signal(SIGHUP);
	ok(service_wait(at, "reloaded: 2 workers") != 0, "the master goes on");
}

/* Knock as a worker that leaves, and stay; whether it is taken over. */
static bool
knock_and_stay(pid_t *pid)
{
	int fds[2], report[2];
	char text[ANSWER_SIZE] = "";

	pair(fds);
	pair(report);
	*pid = fork();
	if (*pid == 0) {
		int fd = knock(0, 7, fds[1]);
		ssize_t n = unit_read(fd, text, sizeof(text) - 1);

		send(report[1], text, n > 0 ? (size_t)n : 0, 0);
		for (;;)
			pause();
	}
	close(report[1]);
	close(fds[0]);
	close(fds[1]);
	recv(report[0], text, sizeof(text) - 1, 0);
	close(report[0]);
	return strstr(text, "taken over") != NULL;
}

static void
test_many(void)
{
	pid_t pids[LEAVERS * WORKERS + 1];
	int n = 0, fds[2];
	char text[ANSWER_SIZE];
	size_t at;

	for (int i = 0; i <= LEAVERS * WORKERS; i++)
		n += knock_and_stay(&pids[i]);
	is_int(n, LEAVERS * WORKERS, "so many that leave, and no more");
	for (int i = 0; i <= LEAVERS * WORKERS; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	slot = -1 - PFK_WORKERS_MAX;
	pair(fds);
	end(knock(0, 7, fds[1]), fds[0], text);
	ok(strstr(text, "makes no sense") != NULL, "no such slot: %s", text);
	close(fds[1]);
	at = service_log_size();
	service_signal(SIGHUP);
	ok(service_wait(at, "reloaded: 2 workers") != 0, "the master goes on");
}

static int
worker_init(struct pfk_worker *w, void *arg)
{
	(void)arg;
	return pfk_signal_add(pfk_worker_loop(w), SIGUSR2, on_order, NULL) !=
		NULL
	    ? 0
	    : -1;
}

static const struct pfk_hooks hooks = {.worker_init = worker_init};

int
main(void)
{
	answer = mmap(NULL, ANSWER_SIZE, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (answer == MAP_FAILED)
		skip_all("no memory");
	service_place("control");
	service_start(&hooks, WORKERS);
	ok(service_wait(0, "ready: 2 workers") != 0, "ready");
	test_victim();
	test_generation();
	test_master();
	slot = -1;
	test_victim();
	test_generation();
	test_many();
	is_int(service_end(SIGTERM), 0, "exit status");
	tree_remove();
	return done_testing();
}
