/*
 * door.c: accept connections, and cut off those that are slow.
 *
 * A request is to be complete within HEADER_NS, and its answer to be taken within
 * ANSWER_NS.  The connections have a number of places, of all and of one source. A
 * newcomer gets the place of the oldest connection that has not asked yet, of its
 * own source where that has too many; so peers that wait, or come in floods, delay
 * nobody else.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "door.h"

#define ADDRESSES_MAX 16
#define CONNS_MAX 64
#define CONNS_OF_SOURCE 24
#define ACCEPTS_A_TURN 16
#define HEADER_NS PFK_SECOND_NS
#define ANSWER_NS (10 * PFK_SECOND_NS)
#define PAUSE_NS (100 * PFK_MSEC_NS)

static struct {
	struct pfk_loop *loop;
	struct pfk_io *io[ADDRESSES_MAX];
	int fds[ADDRESSES_MAX];
	int n;
	struct pfk_timer *pause;
	TAILQ_HEAD(, conn) conns;
	int n_conns;
	uint64_t evicted;
} door;

uint64_t
door_evicted(void)
{
	return door.evicted;
}

/* libmicrohttpd closes the descriptor, and door_gone follows. */
static void
cut(struct conn *c)
{
	if (c->cut)
		return;
	c->cut = true;
	door.evicted++;
	shutdown(c->fd, SHUT_RDWR);
}

static void
on_deadline(void *arg)
{
	cut(arg);
	http_wake();
}

void
door_asked(struct conn *c)
{
	c->asked = true;
	pfk_timer_set(&c->deadline, door.loop, ANSWER_NS, on_deadline, c);
}

void
door_gone(struct conn *c)
{
	pfk_timer_cancel(&c->deadline);
	TAILQ_REMOVE(&door.conns, c, link);
	door.n_conns--;
	free(c);
}

/* An IPv4 address, or the /64 of an IPv6 one. */
static bool
is_same_source(const struct pfk_addr *a, const struct pfk_addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET6)
		return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 8) == 0 &&
		    (!IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr) ||
			IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr,
			    &b->in6.sin6_addr));
	return a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
}

/* Make room for one from this address. */
static void
make_room(const struct pfk_addr *from)
{
	struct conn *c, *first = NULL, *own = NULL;
	int n = 0, of_source = 0;

	TAILQ_FOREACH(c, &door.conns, link) {
		bool same = is_same_source(&c->from, from);

		if (c->cut)
			continue;
		n++;
		of_source += same;
		if (first == NULL || (first->asked && !c->asked))
			first = c;
		if (same && (own == NULL || (own->asked && !c->asked)))
			own = c;
	}
	if (of_source >= CONNS_OF_SOURCE)
		cut(own);
	else if (n >= CONNS_MAX)
		cut(first);
}

static void
admit(int fd, const struct pfk_addr *from)
{
	struct conn *c;

	make_room(from);
	/* Those that were cut keep their places until libmicrohttpd has closed. */
	if (door.n_conns >= HTTP_CONNS_MAX) {
		door.evicted++;
		close(fd);
		return;
	}
	c = calloc(1, sizeof(*c));
	if (c == NULL) {
		close(fd);
		return;
	}
	c->fd = fd;
	c->from = *from;
	TAILQ_INSERT_TAIL(&door.conns, c, link);
	door.n_conns++;
	if (pfk_timer_set(&c->deadline, door.loop, HEADER_NS, on_deadline, c) ==
	    -1) {
		close(fd);
		door_gone(c);
	} else if (http_add(c) == -1) {
		/* It has closed fd. */
		door_gone(c);
	}
}

static void
want_all(unsigned want)
{
	for (int i = 0; i < door.n; i++)
		pfk_io_want(door.io[i], want);
}

static void
on_pause_over(void *arg)
{
	(void)arg;
	want_all(PFK_READ);
}

static void
on_accept(void *arg, unsigned ready)
{
	const int *listener = arg;

	(void)ready;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct pfk_addr from = {.len = sizeof(from.in6)};
		int fd = accept4(*listener, &from.sa, &from.len,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd != -1) {
			admit(fd, &from);
			continue;
		}
		if (errno != EAGAIN && errno != EINTR &&
		    errno != ECONNABORTED) {
			/* Out of descriptors: the peers wait. */
			want_all(0);
			pfk_timer_set(&door.pause, door.loop, PAUSE_NS,
			    on_pause_over, NULL);
		}
		break;
	}
	http_wake();
}

/* opening */

/* Peers of both families, where it is the wildcard. */
static int
listen_at(const struct pfk_addr *a, bool both)
{
	int on = 1, off = 0;
	int fd = socket(a->sa.sa_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd == -1)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, both ? &off : &on,
		    sizeof(on));
	if (bind(fd, &a->sa, a->len) == 0 && listen(fd, SOMAXCONN) == 0)
		return fd;
	on = errno;
	close(fd);
	errno = on;
	return -1;
}

static int
open_one(struct pfk_addr *a, bool both)
{
	char text[PFK_ADDR_SIZE];
	int fd = listen_at(a, both);

	if (fd == -1) {
		/* ::1 may be missing where localhost has both. */
		if (errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT)
			return 0;
		pfk_complain("cannot listen on %s: %s%s",
		    pfk_addr_format(text, a), strerror(errno),
		    errno == EADDRINUSE ? "; -l takes another port" : "");
		return -1;
	}
	door.fds[door.n] = fd;
	door.io[door.n] = pfk_io_add(door.loop, fd, PFK_READ, on_accept,
	    &door.fds[door.n]);
	if (door.io[door.n] == NULL) {
		pfk_complain("cannot watch a socket: %s", strerror(errno));
		close(fd);
		return -1;
	}
	door.n++;
	a->len = sizeof(a->in6);
	if (getsockname(fd, &a->sa, &a->len) == -1) {
		pfk_complain("cannot tell the port of a socket: %s",
		    strerror(errno));
		return -1;
	}
	pfk_log(PFK_INFO, "serving on http://%s/", pfk_addr_format(text, a));
	return 0;
}

/*
 * "*", ":PORT" and "PORT" are every address.  -1, after a complaint, with EINVAL
 * where no look-up can find it.
 */
static int
resolve(const char *where, struct pfk_addr *addrs, bool *both)
{
	const char *digits = where + (where[0] == ':'), *errstr;
	char host[PFK_HOST_SIZE], text[PFK_HOST_SIZE + 16];
	uint16_t port = EXPORTER_PORT;
	int n, saved;

	strlcpy(text, where, sizeof(text));
	if (digits[0] != '\0' && digits[strspn(digits, "0123456789")] == '\0')
		snprintf(text, sizeof(text), "*:%.100s", digits);
	if (pfk_host_split(text, host, &port, &errstr) == -1) {
		pfk_complain("--listen '%s': %s", where, errstr);
		errno = EINVAL;
		return -1;
	}
	*both = strcmp(host, "*") == 0;
	if (*both)
		strlcpy(host, "::", sizeof(host));
	n = pfk_resolve(host, port, AF_UNSPEC, 30 * PFK_SECOND_NS, addrs,
	    ADDRESSES_MAX, &errstr);
	saved = errno;
	if (n == -1)
		pfk_complain("--listen '%s': %s", where, errstr);
	errno = saved;
	return n;
}

int
door_open(struct pfk_loop *l, const char *where)
{
	struct pfk_addr addrs[ADDRESSES_MAX];
	bool both;
	int n = resolve(where, addrs, &both);

	door.loop = l;
	TAILQ_INIT(&door.conns);
	if (n == -1)
		return errno == EINVAL ? EX_USAGE : EX_UNAVAILABLE;
	for (int i = 0; i < n; i++) {
		/* With port 0 all get the first one's. */
		if (i > 0 && pfk_addr_port(&addrs[i]) == 0)
			addrs[i].in4.sin_port = addrs[0].in4.sin_port;
		if (open_one(&addrs[i], both) == -1)
			return EX_UNAVAILABLE;
	}
	if (both && door.n == 0) {
		/* A machine without IPv6. */
		pfk_addr_parse(&addrs[0], "0.0.0.0", pfk_addr_port(&addrs[0]));
		if (open_one(&addrs[0], false) == -1)
			return EX_UNAVAILABLE;
	}
	if (door.n > 0)
		return EX_OK;
	pfk_complain("--listen '%s': this machine has no such address", where);
	return EX_UNAVAILABLE;
}

void
door_close(void)
{
	pfk_timer_cancel(&door.pause);
	for (int i = 0; i < door.n; i++) {
		pfk_io_cancel(&door.io[i]);
		close(door.fds[i]);
	}
	door.n = 0;
}
