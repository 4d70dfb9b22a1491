/*
 * Shared tools of the C tests; unit.h is the manual.
 */
#include "unit.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define BOUND_NS (5 * PFK_SECOND_NS)
#define SETTLE_TURNS 4

const char *const unit_backends[] = {"epoll", "poll", NULL};

struct watch {
	struct pfk_loop *loop;
	struct pfk_timer *timer;
	const int *value;
	int least;
	uint64_t deadline;
};

static void
look(void *arg)
{
	struct watch *w = arg;

	if (*w->value >= w->least || pfk_loop_now(w->loop) > w->deadline) {
		pfk_loop_stop(w->loop);
		return;
	}
	pfk_timer_set(&w->timer, w->loop, PFK_MSEC_NS / 2, look, w);
}

bool
unit_run_until(struct pfk_loop *l, const int *value, int least)
{
	struct watch w = {.loop = l,
	    .value = value,
	    .least = least,
	    .deadline = pfk_loop_now(l) + BOUND_NS};

	if (*value >= least)
		return true;
	look(&w);
	pfk_loop_run(l);
	pfk_timer_cancel(&w.timer);
	return *value >= least;
}

static void
count_turn(void *arg)
{
	++*(int *)arg;
}

void
unit_settle(struct pfk_loop *l)
{
	int turns = 0;

	for (int i = 1; i <= SETTLE_TURNS; i++) {
		pfk_later(l, (uint64_t)i * PFK_MSEC_NS, count_turn, &turns);
		unit_run_until(l, &turns, i);
	}
}

int
unit_count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	if (d == NULL)
		err(1, "/proc/self/fd");
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n - 3; /* ".", ".." and the folder's own */
}

int
unit_count_children(void)
{
	char path[64], text[256] = "";
	int n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children",
	    (int)getpid());
	f = fopen(path, "re");
	if (f == NULL)
		err(1, "%s", path);
	if (fgets(text, sizeof(text), f) == NULL)
		text[0] = '\0';
	fclose(f);
	for (const char *p = text; *p != '\0'; p++)
		n += *p == ' ';
	return n;
}

static int
loopback(int type, struct pfk_addr *bound)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	pfk_addr_parse(bound, "127.0.0.1", 0);
	if (fd == -1 || bind(fd, &bound->sa, bound->len) == -1 ||
	    getsockname(fd, &bound->sa, &bound->len) == -1)
		err(1, "socket");
	return fd;
}

int
unit_listen(struct pfk_addr *bound)
{
	int fd = loopback(SOCK_STREAM | SOCK_NONBLOCK, bound);

	if (listen(fd, 128) == -1)
		err(1, "listen");
	return fd;
}

int
unit_connect(const struct pfk_addr *to)
{
	struct timeval bound = {.tv_sec = 5};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	/* A fuzzer's clock may interrupt it; it goes on. */
	if (fd == -1 ||
	    (connect(fd, &to->sa, to->len) == -1 &&
		(errno != EINTR || poll(&p, 1, 5000) != 1)))
		err(1, "connect");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof(bound));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof(bound));
	return fd;
}

int
unit_udp(struct pfk_addr *bound)
{
	struct timeval limit = {.tv_sec = 5};
	int fd = loopback(SOCK_DGRAM, bound);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

ssize_t
unit_read(int fd, void *buf, size_t n)
{
	size_t got = 0;
	ssize_t rc = 1;

	while (got < n && rc > 0) {
		rc = recv(fd, (char *)buf + got, n - got, 0);
		got += rc > 0 ? (size_t)rc : 0;
	}
	return rc == -1 && got == 0 ? -1 : (ssize_t)got;
}

ssize_t
unit_write(int fd, const void *buf, size_t n)
{
	return send(fd, buf, n, MSG_NOSIGNAL);
}

void
unit_pair(int fds[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
		fds) == -1)
		err(1, "socketpair");
}
