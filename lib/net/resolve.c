/*
 * resolve.c: names to addresses, in a child.
 *
 * Layer: net.  getaddrinfo(3) blocks for as long as it likes and opens
 * Internet sockets of its own, which a master must not have; a child that is
 * killed at the deadline does neither to its parent.  It ends with its parent, too,
 * because it has the parent's standard error.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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
#include "base/misuse.h"
#include "base/parent.h"
#include "base/signals.h"
#include "base/why.h"
#include "net/addr.h"
#include "net/resolve.h"
#include "sandbox/sandbox.h"

struct answer {
	int error; /* of getaddrinfo(3) */
	int saved_errno;
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
	answer.saved_errno = errno;
	if (answer.error != 0) {
		if (write(out, &answer, sizeof(answer)) == -1)
			_exit(1);
		close(out);
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
	close(out);
	_exit(0);
}

int
pfk__lookup_start(struct pfk__lookup *k, const char *host, uint16_t port,
    int family)
{
	pid_t parent = getpid();
	int fds[2], keep, saved_errno;

	if (pfk__sandbox_denies("clone")) {
		errno = EPERM;
		return -1;
	}
	if (pipe2(fds, O_CLOEXEC) == -1)
		return -1;
	k->n = 0;
	keep = fds[1];
	k->fd = fds[0];
	k->pid = fork();
	if (k->pid == 0) {
		pfk__end_with(parent);
		pfk__signals_forked();
		pfk__close_others(&keep, 1);
		look_up(fds[1], host, port, family);
	}
	saved_errno = errno;
	close(fds[1]);
	if (k->pid == -1) {
		close(fds[0]);
		errno = saved_errno;
		return -1;
	}
	return 0;
}

/* Why getaddrinfo(3) found nothing; sets errno. */
static const char *
explain(const struct answer *a)
{
	switch (a->error) {
	case EAI_NONAME:
		errno = ENOENT;
		return "there is no such name";
	case EAI_NODATA:
	case EAI_ADDRFAMILY:
		errno = ENOENT;
		return "the name has no such address";
	case EAI_AGAIN:
		errno = EAGAIN;
		return "no name server answers now; try again later, or see "
		       "/etc/resolv.conf";
	case EAI_SYSTEM:
		errno = a->saved_errno;
		return pfk__why(a->saved_errno);
	default:
		errno = EIO;
		return gai_strerror(a->error);
	}
}

int
pfk__lookup_next(struct pfk__lookup *k, struct pfk_addr *addr,
    const char **errstr)
{
	struct answer answer;
	ssize_t n;

	do {
		/* An answer is less than PIPE_BUF: it comes whole. */
		n = read(k->fd, &answer, sizeof(answer));
	} while (n == -1 && errno == EINTR);
	if (n != (ssize_t)sizeof(answer) && k->n > 0)
		return 0;
	if (n != (ssize_t)sizeof(answer)) {
		*errstr = "the process for it has died, as when memory runs "
			  "out";
		errno = EIO;
		return -1;
	}
	if (answer.error != 0) {
		*errstr = explain(&answer);
		return -1;
	}
	k->n++;
	*addr = answer.addr;
	return 1;
}

void
pfk__lookup_end(struct pfk__lookup *k)
{
	close(k->fd);
	kill(k->pid, SIGKILL);
	while (waitpid(k->pid, NULL, 0) == -1 && errno == EINTR)
		continue;
}

static uint64_t
clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * PFK_SECOND_NS + (uint64_t)ts.tv_nsec;
}

/* False when the time is up. */
static bool
wait_readable(int fd, uint64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t now;

	while ((now = clock_now()) < deadline) {
		uint64_t ms = (deadline - now) / PFK_MSEC_NS + 1;
		int n = poll(&p, 1, ms < INT_MAX ? (int)ms : INT_MAX);

		if (n == 1)
			return true;
		if (n == -1 && errno != EINTR)
			return false;
	}
	return false;
}

int
pfk__resolve_numeric(const char *host, uint16_t port, int family,
    struct pfk_addr *addr, const char **errstr)
{
	if (pfk_addr_parse(addr, host, port) == -1) {
		*errstr = pfk__addr_fault(host);
		return *errstr == NULL ? 0 : -1;
	}
	if (family == AF_UNSPEC || family == addr->sa.sa_family)
		return 1;
	*errstr = family == AF_INET ? "it is an IPv6 address, and IPv4 is asked"
				    : "it is an IPv4 address, and IPv6 is "
				      "asked";
	errno = ENOENT;
	return -1;
}

int
pfk__family_check(const char *call, int family)
{
	if (family == AF_UNSPEC || family == AF_INET || family == AF_INET6)
		return 0;
	return pfk__misuse(EINVAL,
	    "%s: address family %d is none of AF_UNSPEC, AF_INET and AF_INET6",
	    call, family);
}

static int
check_use(int family, int max, const char **errstr)
{
	static char text[64];

	if (max < 1) {
		*errstr = "there is no room for an address";
		return pfk__misuse(EINVAL, "pfk_resolve: room for %d addresses",
		    max);
	}
	if (pfk__family_check("pfk_resolve", family) == 0)
		return 0;
	snprintf(text, sizeof(text),
	    "address family %d is asked, and not IPv4 or IPv6", family);
	*errstr = text;
	return -1;
}

/* The latest one stands for a time that no clock reaches. */
static uint64_t
deadline_in(uint64_t ns)
{
	uint64_t now = clock_now();

	return ns < UINT64_MAX - now ? now + ns : UINT64_MAX;
}

int
pfk_resolve(const char *host, uint16_t port, int family, uint64_t timeout_ns,
    struct pfk_addr *addrs, int max, const char **errstr)
{
	uint64_t deadline = deadline_in(timeout_ns);
	struct pfk__lookup k;
	struct pfk_addr numeric;
	int n = 0, rc, saved_errno;

	if (check_use(family, max, errstr) == -1)
		return -1;
	rc = pfk__resolve_numeric(host, port, family, &numeric, errstr);
	if (rc != 0) {
		if (rc == 1)
			addrs[0] = numeric;
		return rc;
	}
	if (pfk__lookup_start(&k, host, port, family) == -1) {
		*errstr = pfk__why(errno);
		return -1;
	}
	rc = 1;
	while (n < max && rc == 1) {
		if (!wait_readable(k.fd, deadline)) {
			*errstr = "no name server answers; see "
				  "/etc/resolv.conf";
			errno = ETIMEDOUT;
			rc = -1;
			break;
		}
		rc = pfk__lookup_next(&k, &addrs[n], errstr);
		n += rc == 1;
	}
	saved_errno = errno;
	pfk__lookup_end(&k);
	errno = saved_errno;
	return rc == -1 ? -1 : n;
}
