/*
 * info.c: queries and settings of a connection: addresses, options, marks.
 *
 * Layer: transport.  tcp(7), socket(7).
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

#include "base/misuse.h"
#include "transport/cork.h"
#include "transport/input.h"
#include "transport/join.h"

static const struct row {
	const char *name;
	int level, option;
} rows[] = {
#define SOCKET(o) \
	{ \
#o, SOL_SOCKET, o \
	}
#define TCP(o) \
	{ \
#o, IPPROTO_TCP, o \
	}
    SOCKET(SO_RCVBUF),
    SOCKET(SO_SNDBUF),
    SOCKET(SO_KEEPALIVE),
    SOCKET(SO_REUSEADDR),
    SOCKET(SO_REUSEPORT),
    SOCKET(SO_INCOMING_CPU),
    TCP(TCP_NODELAY),
    TCP(TCP_QUICKACK),
    TCP(TCP_MAXSEG),
    TCP(TCP_KEEPIDLE),
    TCP(TCP_KEEPINTVL),
    TCP(TCP_KEEPCNT),
    TCP(TCP_USER_TIMEOUT),
    TCP(TCP_SYNCNT),
    TCP(TCP_FASTOPEN),
    TCP(TCP_DEFER_ACCEPT),
#undef SOCKET
#undef TCP
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

const struct pfk_addr *
pfk_peername(const struct pfk_transport *tr)
{
	return &tr->peer;
}

int
pfk_sockname(const struct pfk_transport *tr, struct pfk_addr *a)
{
	*a = (struct pfk_addr){.len = sizeof(a->in6)};
	return getsockname(tr->io.fd, &a->sa, &a->len);
}

int
pfk_extra_info(const struct pfk_transport *tr, const char *name, void *value,
    size_t size)
{
	socklen_t len = sizeof(int);

	if (strcmp(name, "tcp_info") == 0) {
		memset(value, 0, size);
		len = (socklen_t)size;
		return getsockopt(tr->io.fd, IPPROTO_TCP, TCP_INFO, value,
		    &len);
	}
	if (strcmp(name, "SO_PEERCRED") == 0) {
		memset(value, 0, size);
		len = (socklen_t)size;
		return getsockopt(tr->io.fd, SOL_SOCKET, SO_PEERCRED, value,
		    &len);
	}
	if (size < sizeof(int))
		return pfk__misuse(EINVAL,
		    "pfk_extra_info: %zu bytes are too few for %s", size, name);
	for (const struct row *r = rows; r < rows + ROWS; r++) {
		if (strcmp(r->name, name) == 0)
			return getsockopt(tr->io.fd, r->level, r->option, value,
			    &len);
	}
	errno = ENOENT;
	return -1;
}

bool
pfk_is_closing(const struct pfk_transport *tr)
{
	return tr->state != PFK__TCP_OPEN;
}

void
pfk_pause_reading(struct pfk_transport *tr)
{
	tr->paused = true;
	pfk__tcp_note(tr);
	if (tr->state == PFK__TCP_OPEN)
		pfk__tcp_watch(tr);
}

void
pfk_resume_reading(struct pfk_transport *tr)
{
	tr->paused = false;
	pfk__tcp_note(tr);
	if (tr->state == PFK__TCP_OPEN)
		pfk__tcp_watch(tr);
	pfk__input_go_on(tr);
}

int
pfk_set_write_limits(struct pfk_transport *tr, size_t low, size_t high)
{
	if (low > high || high > UINT32_MAX)
		return pfk__misuse(EINVAL,
		    "pfk_set_write_limits: low is %zu and high %zu; it is low "
		    "<= high <= %u",
		    low, high, UINT32_MAX);
	tr->low = (uint32_t)low;
	tr->high = (uint32_t)high;
	pfk__tcp_note(tr);
	return 0;
}

size_t
pfk_write_buffered(const struct pfk_transport *tr)
{
	if (tr->corked)
		pfk__uncork(tr->io.loop);
	return pfk__unsent(tr);
}
