/*
 * resolve.c: names to addresses, in a child.
 *
 * Layer: net.  getaddrinfo(3) blocks for as long as it likes and opens
 * Internet sockets of its own, which a master must not have; a child that is
 * killed at the deadline does neither to its parent.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <prefork.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fds.h"

struct answer {
	int error; /* of getaddrinfo(3) */
	struct pfk_addr addr;
};

static void
look_up(int out, const char *host, uint16_t port, int family)
{
	struct addrinfo hints = {.ai_family = family,
	    .ai_socktype = SOCK_STREAM};
	struct answer answer = {0};
	struct addrinfo *list, *ai;
	char service[8];

	snprintf(service, sizeof(service), "%u", port);
	answer.error = getaddrinfo(host, service, &hints, &list);
	if (answer.error != 0) {
		if (write(out, &answer, sizeof(answer)) == -1)
			_exit(1);
		_exit(0);
	}
	for (ai = list; ai != NULL; ai = ai->ai_next) {
		if (ai->ai_addrlen > sizeof(answer.addr.in6))
			continue;
		memset(&answer.addr, 0, sizeof(answer.addr));
		answer.addr.len = ai->ai_addrlen;
		memcpy(&answer.addr.sa, ai->ai_addr, ai->ai_addrlen);
		if (write(out, &answer, sizeof(answer)) == -1)
			_exit(1);
	}
	_exit(0);
}

static pid_t
start_child(int *in, const char *host, uint16_t port, int family)
{
	int fds[2], keep;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1)
		return -1;
	keep = fds[1];
	pid = fork();
	if (pid == 0) {
		signal(SIGTERM, SIG_DFL);
		signal(SIGINT, SIG_DFL);
		pfk__close_others(&keep, 1);
		look_up(fds[1], host, port, family);
	}
	close(fds[1]);
	if (pid == -1) {
		close(fds[0]);
		return -1;
	}
	*in = fds[0];
	return pid;
}

/* Read the next answer before the deadline; 0 is the end. */
static int
next_answer(int in, uint64_t deadline, struct answer *answer)
{
	struct pollfd p = {.fd = in, .events = POLLIN};
	struct timespec ts;
	uint64_t now;
	ssize_t n;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (uint64_t)ts.tv_sec * PFK_SECOND_NS + (uint64_t)ts.tv_nsec;
	if (now >= deadline ||
	    poll(&p, 1, (int)((deadline - now) / PFK_MSEC_NS) + 1) == 0) {
		answer->error = EAI_AGAIN;
		return -1;
	}
	/* An answer is less than PIPE_BUF: it comes whole. */
	n = read(in, answer, sizeof(*answer));
	if (n == -1 && errno == EINTR)
		return next_answer(in, deadline, answer);
	if (n == (ssize_t)sizeof(*answer))
		return answer->error == 0 ? 1 : -1;
	return 0;
}

int
pfk_resolve(const char *host, uint16_t port, int family, uint64_t timeout_ns,
    struct pfk_addr *addrs, int max, const char **errstr)
{
	struct answer answer = {0};
	struct timespec ts;
	int in, n = 0, rc = 0;
	pid_t pid = start_child(&in, host, port, family);

	*errstr = NULL;
	if (pid == -1) {
		*errstr = strerror(errno);
		return -1;
	}
	clock_gettime(CLOCK_MONOTONIC, &ts);
	timeout_ns += (uint64_t)ts.tv_sec * PFK_SECOND_NS +
	    (uint64_t)ts.tv_nsec;
	while (n < max && (rc = next_answer(in, timeout_ns, &answer)) == 1)
		addrs[n++] = answer.addr;
	close(in);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
		continue;
	if (rc == -1 || n == 0) {
		*errstr = gai_strerror(rc == -1 ? answer.error : EAI_NONAME);
		errno = EINVAL;
		return -1;
	}
	return n;
}
