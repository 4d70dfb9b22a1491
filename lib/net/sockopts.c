/*
 * sockopts.c: socket options: set them, and say where the kernel did not.
 *
 * Layer: net.  tcp(7), socket(7).  A UDP socket's buffers are set past the
 * sysctl that bounds them where the process may (CAP_NET_ADMIN).
 */
#include "net/sockopts.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * SO_RCVBUF and SO_SNDBUF read back as twice the value that was set: socket(7).
 */
static const struct row {
	const char *name;
	size_t offset;
	int level, option;
	bool tcp_only;
	int doubled;
	const char *sysctl; /* the sysctl that bounds it */
} rows[] = {
#define FIELD(f) offsetof(struct pfk_sockopts, f)
    {"receive-buffer", FIELD(receive_buffer), SOL_SOCKET, SO_RCVBUF, false, 2,
	"net.core.rmem_max"},
    {"send-buffer", FIELD(send_buffer), SOL_SOCKET, SO_SNDBUF, false, 2,
	"net.core.wmem_max"},
    {"nodelay", FIELD(nodelay), IPPROTO_TCP, TCP_NODELAY, true, 1, NULL},
    {"keepalive", FIELD(keepalive), SOL_SOCKET, SO_KEEPALIVE, true, 1, NULL},
    {"keepalive idle", FIELD(keep_idle), IPPROTO_TCP, TCP_KEEPIDLE, true, 1,
	NULL},
    {"keepalive interval", FIELD(keep_interval), IPPROTO_TCP, TCP_KEEPINTVL,
	true, 1, NULL},
    {"keepalive count", FIELD(keep_count), IPPROTO_TCP, TCP_KEEPCNT, true, 1,
	NULL},
    {"user-timeout", FIELD(user_timeout), IPPROTO_TCP, TCP_USER_TIMEOUT, true,
	1, NULL},
    {"defer-accept", FIELD(defer_accept), IPPROTO_TCP, TCP_DEFER_ACCEPT, true,
	1, NULL},
    {"reuse-port", FIELD(reuse_port), SOL_SOCKET, SO_REUSEPORT, false, 1, NULL},
    {"syn-retries", FIELD(syn_retries), IPPROTO_TCP, TCP_SYNCNT, true, 1, NULL},
    {"unsent-limit", FIELD(unsent_limit), IPPROTO_TCP, TCP_NOTSENT_LOWAT, true,
	1, NULL},
#undef FIELD
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

void
pfk_sockopts_init(struct pfk_sockopts *o)
{
	int *field = (int *)o;

	static_assert(sizeof(*o) % sizeof(int) == 0, "all fields are int");
	for (size_t i = 0; i < sizeof(*o) / sizeof(int); i++)
		field[i] = PFK_UNSET;
}

static int
wanted(const struct row *r, const struct pfk_sockopts *o)
{
	int value;

	memcpy(&value, (const char *)o + r->offset, sizeof(value));
	return value;
}

/*
 * A socket out of custody keeps a buffer that is as asked already, because a
 * predecessor may have had the right to make it so large.
 */
static bool
is_in_force(int fd, const struct row *r, int value)
{
	socklen_t len = sizeof(int);
	int got;

	return getsockopt(fd, r->level, r->option, &got, &len) == 0 &&
	    got / r->doubled == value;
}

static int
set_one(int fd, enum pfk_kind kind, const struct row *r, int value)
{
	int force = r->option == SO_RCVBUF ? SO_RCVBUFFORCE : SO_SNDBUFFORCE;

	if (kind == PFK_UDP && r->doubled == 2 &&
	    (is_in_force(fd, r, value) ||
		setsockopt(fd, r->level, force, &value, sizeof(value)) == 0))
		return 0;
	return setsockopt(fd, r->level, r->option, &value, sizeof(value));
}

bool
pfk__sockopt_lacking(int error)
{
	return error == EOPNOTSUPP || error == ENOPROTOOPT;
}

int
pfk__sockopts_set(int fd, enum pfk_kind kind, const struct pfk_sockopts *o,
    const char **failed)
{
	for (const struct row *r = rows; r < rows + ROWS; r++) {
		int value = wanted(r, o);

		if (value == PFK_UNSET || (r->tcp_only && kind != PFK_TCP))
			continue;
		if (set_one(fd, kind, r, value) == -1 &&
		    !pfk__sockopt_lacking(errno)) {
			*failed = r->name;
			return -1;
		}
	}
	return 0;
}

/* The length of a listener's accept queue: tcp(7), tcpi_sacked there. */
static int
backlog_in_force(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == -1)
		return PFK_UNSET;
	return (int)info.tcpi_sacked;
}

/* Bit 1 of the sysctl lets servers take data in the SYN: ip-sysctl.txt. */
static bool
fastopen_allowed(void)
{
	FILE *f = fopen("/proc/sys/net/ipv4/tcp_fastopen", "re");
	int bits = 0;

	if (f == NULL)
		return false;
	if (fscanf(f, "%i", &bits) != 1)
		bits = 0;
	fclose(f);
	return (bits & 2) != 0;
}

static void
report_listener(int fd, const struct pfk_sockopts *want,
    void (*cb)(void *arg, const char *name, int asked, int in_force,
	const char *sysctl),
    void *arg)
{
	int backlog = want->backlog != PFK_UNSET ? backlog_in_force(fd) : -1;

	if (backlog != PFK_UNSET && backlog < want->backlog)
		cb(arg, "backlog", want->backlog, backlog,
		    "net.core.somaxconn");
	if (want->fastopen > 0 && !fastopen_allowed())
		cb(arg, "fastopen", want->fastopen, 0, "net.ipv4.tcp_fastopen");
}

void
pfk__sockopts_report(int fd, const struct pfk_sockopts *want,
    void (*cb)(void *arg, const char *name, int asked, int in_force,
	const char *sysctl),
    void *arg)
{
	socklen_t len = sizeof(int);
	int type = 0;

	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
	for (const struct row *r = rows; r < rows + ROWS; r++) {
		int asked = wanted(r, want), got = 0;

		len = sizeof(got);
		if (asked == PFK_UNSET || (r->tcp_only && type != SOCK_STREAM))
			continue;
		if (getsockopt(fd, r->level, r->option, &got, &len) == -1) {
			if (pfk__sockopt_lacking(errno))
				cb(arg, r->name, asked, PFK_UNSET, NULL);
			continue;
		}
		got /= r->doubled;
		if (got < asked)
			cb(arg, r->name, asked, got, r->sysctl);
	}
	if (type == SOCK_STREAM)
		report_listener(fd, want, cb, arg);
}
