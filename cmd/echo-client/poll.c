/*
 * poll.c: --api poll: a non-blocking socket and the library's poller.
 *
 * Addresses are tried one after the other, each with its share of the rest of
 * the connect timeout.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../shared/quote.h"
#include "client.h"

#define ADDRESSES_MAX 16
#define FOREVER_NS (UINT64_C(365) * 86400 * PFK_SECOND_NS)

static struct {
	int fd; /* -1: none */
	struct pfk_io *io;
	struct pfk_timer *timeout;
	struct pfk_addr addrs[ADDRESSES_MAX];
	int n, at;
	int error; /* the first address' */
	char causes[PFK_CAUSES_SIZE];
	uint64_t deadline_ns;
	size_t early; /* bytes that went with the SYN */
	bool binding; /* the source, rather than connecting */
	bool read_only;
} session = {.fd = -1};

static void try_next(struct client *c);

static int
set_options(const struct client *c, int fd)
{
	const struct pfk_addr *from = c->connect.source;
	bool any_port = from != NULL && pfk_addr_port(from) == 0;
	const struct {
		int level, option, value;
	} rows[] = {
	    /*
	     * A port that an ended connection still has can be had again, and a
	     * server can be started on the port that we have.
	     */
	    {SOL_SOCKET, SO_REUSEADDR, 1},
	    /* Urgent data is data: without this it is lost to recv(2). */
	    {SOL_SOCKET, SO_OOBINLINE, 1},
	    {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, any_port ? 1 : PFK_UNSET},
	    {SOL_SOCKET, SO_RCVBUF, c->sockopts.receive_buffer},
	    {SOL_SOCKET, SO_SNDBUF, c->sockopts.send_buffer},
	    {SOL_SOCKET, SO_REUSEPORT, c->sockopts.reuse_port},
	    {IPPROTO_TCP, TCP_NODELAY, c->sockopts.nodelay},
	    {IPPROTO_TCP, TCP_SYNCNT, c->sockopts.syn_retries},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].value != PFK_UNSET &&
		    setsockopt(fd, rows[i].level, rows[i].option,
			&rows[i].value, sizeof(rows[i].value)) == -1)
			return -1;
	}
	return 0;
}

/* As TCP's simultaneous open allows where nobody listens. */
static bool
connected_to_itself(void)
{
	struct pfk_addr own = {.len = sizeof(own.in6)}, peer = own;

	return getsockname(session.fd, &own.sa, &own.len) == 0 &&
	    getpeername(session.fd, &peer.sa, &peer.len) == 0 &&
	    pfk_addr_equal(&own, &peer);
}

static void
close_socket(void)
{
	const struct linger reset = {.l_onoff = 1};

	pfk_timer_cancel(&session.timeout);
	pfk_io_cancel(&session.io);
	if (session.fd == -1)
		return;
	/* TIME_WAIT would keep a server from its port for a minute. */
	if (connected_to_itself())
		setsockopt(session.fd, SOL_SOCKET, SO_LINGER, &reset,
		    sizeof(reset));
	close(session.fd);
	session.fd = -1;
}

/* transferring */

static void
log_socket(const struct client *c, const struct pfk_addr *peer)
{
	int value = 0, fd = session.fd;
	char name[PFK_ADDR_SIZE];
	socklen_t len = sizeof(value), info_len = sizeof(struct tcp_info);
	struct tcp_info info = {0};

	pfk_log(PFK_INFO, "connected to %s", quote_addr(name, peer));
	if (getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len) == 0)
		pfk_log(PFK_INFO, "TCP_NODELAY: %d", value);
	if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &len) == 0)
		log_buffer("SO_RCVBUF", value, "tcp_rmem");
	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, &len) == 0)
		log_buffer("SO_SNDBUF", value, "tcp_wmem");
	getsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &value, &len);
	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_len);
	log_opening(&c->o, value, &info);
}

static void
receive(struct client *c)
{
	static char buf[CHUNK_BYTES];
	ssize_t n = recv(session.fd, buf, sizeof(buf), 0);

	if (n > 0)
		transfer_received(c, buf, (size_t)n);
	else if (n == 0)
		transfer_ended(c, 0);
	else if (errno != EAGAIN && errno != EINTR)
		transfer_ended(c, errno);
}

/* One piece for each time that there is room. */
static void
send_piece(struct client *c)
{
	size_t len;
	const void *buf = transfer_next(c, &len);
	ssize_t n;

	if (buf == NULL)
		return;
	n = send(session.fd, buf, len, MSG_NOSIGNAL);
	if (n > 0)
		transfer_sent(c, buf, (size_t)n);
	else if (errno == EPIPE || errno == ECONNRESET)
		receive(c); /* the bytes before the error, or its cause */
	else if (errno != EAGAIN && errno != EINTR)
		transfer_ended(c, errno);
}

/* Writable is of interest only while there is something to send. */
static void
pump(struct client *c)
{
	bool more;
	size_t len;

	if (c->over || session.io == NULL)
		return;
	more = transfer_next(c, &len) != NULL;
	pfk_io_want(session.io, PFK_READ | (more ? PFK_WRITE : 0u));
	if (!more && !session.read_only)
		pfk_log(PFK_INFO, "nothing to send: waiting to read only");
	session.read_only = !more;
	if (transfer_finish(c))
		shutdown(session.fd, SHUT_WR);
}

static void
on_ready(void *arg, unsigned ready)
{
	struct client *c = arg;

	if ((ready & (PFK_READ | PFK_FAULT)) != 0)
		receive(c);
	if ((ready & PFK_WRITE) != 0 && !c->over)
		send_piece(c);
	pump(c);
}

/* connecting */

static void
attempt_failed(struct client *c, int error)
{
	const struct pfk_addr *a = &session.addrs[session.at];
	size_t n = strlen(session.causes);
	char name[PFK_ADDR_SIZE];

	close_socket();
	if (session.error == 0)
		session.error = error;
	pfk_log(PFK_INFO, "%s: %s", pfk_addr_format(name, a), strerror(error));
	if (session.binding)
		pfk_addr_format(name, c->connect.source);
	snprintf(session.causes + n, sizeof(session.causes) - n, "%s%s%s: %s",
	    n > 0 ? "; " : "", session.binding ? "source " : "", name,
	    strerror(error));
	session.binding = false;
	session.at++;
	try_next(c);
}

static void
on_timeout(void *arg)
{
	attempt_failed(arg, ETIMEDOUT);
}

static void
on_connected(void *arg, unsigned ready)
{
	struct client *c = arg;
	socklen_t len = sizeof(int);
	int error = 0;

	(void)ready;
	if (getsockopt(session.fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		error = errno;
	if (error == 0 && connected_to_itself())
		error = ECONNREFUSED;
	if (error != 0) {
		attempt_failed(c, error);
		return;
	}
	pfk_timer_cancel(&session.timeout);
	pfk_io_cancel(&session.io);
	log_socket(c, &session.addrs[session.at]);
	if (session.early > 0)
		transfer_sent(c, c->connect.first, session.early);
	session.read_only = false;
	session.io = pfk_io_add(c->loop, session.fd, PFK_READ, on_ready, c);
	if (session.io == NULL)
		client_not_connected(c, errno, NULL);
	pump(c);
}

/* tcp(7): the first message may go with the SYN. */
static int
send_syn(const struct client *c, int fd, const struct pfk_addr *to)
{
	ssize_t n;

	session.early = 0;
	if (c->connect.first != NULL) {
		n = sendto(fd, c->connect.first, c->connect.first_len,
		    MSG_FASTOPEN | MSG_NOSIGNAL, &to->sa, to->len);
		session.early = n > 0 ? (size_t)n : 0;
		if (n != -1 || errno != EOPNOTSUPP)
			return n == -1 && errno != EINPROGRESS ? -1 : 0;
	}
	return connect(fd, &to->sa, to->len) == -1 && errno != EINPROGRESS ? -1
									   : 0;
}

static int
bind_source(int fd, const struct pfk_addr *from)
{
	session.binding = from != NULL && bind(fd, &from->sa, from->len) == -1;
	return session.binding ? -1 : 0;
}

static int
start_connecting(struct client *c, const struct pfk_addr *to)
{
	const struct pfk_addr *from = c->connect.source;
	uint64_t now = pfk_loop_now(c->loop);

	session.fd = socket(to->sa.sa_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (session.fd == -1 || set_options(c, session.fd) == -1 ||
	    bind_source(session.fd, from) == -1 ||
	    send_syn(c, session.fd, to) == -1)
		return -1;
	session.io = pfk_io_add(c->loop, session.fd, PFK_WRITE, on_connected,
	    c);
	pfk_timer_set(&session.timeout, c->loop,
	    (session.deadline_ns - now) / (uint64_t)(session.n - session.at),
	    on_timeout, c);
	return session.io != NULL && session.timeout != NULL ? 0 : -1;
}

static void
try_next(struct client *c)
{
	if (session.at == session.n ||
	    session.deadline_ns <= pfk_loop_now(c->loop))
		client_not_connected(c, session.error, session.causes);
	else if (start_connecting(c, &session.addrs[session.at]) == -1)
		attempt_failed(c, errno);
}

static void
start(struct client *c)
{
	uint64_t timeout = c->o.connect_timeout_ns;
	const char *errstr = NULL;

	log_connect_limits(&c->o);
	pfk_log(PFK_INFO, "multiplex timeout %g s",
	    (double)c->o.timeout_ns / 1e9);
	if (timeout == 0)
		timeout = FOREVER_NS;
	transfer_first(c);
	session.at = session.error = 0;
	session.causes[0] = '\0';
	session.deadline_ns = pfk_loop_now(c->loop) + timeout;
	session.n = pfk_resolve(c->o.host, c->connect.port, c->connect.family,
	    timeout, session.addrs, ADDRESSES_MAX, &errstr);
	if (session.n < 1)
		client_not_connected(c,
		    session.n == -1 && errno == ETIMEDOUT ? ETIMEDOUT
							  : PFK_ENOHOST,
		    errstr);
	else
		try_next(c);
}

static void
stop(struct client *c)
{
	(void)c;
	close_socket();
}

const struct mode poll_mode = {"poll", start, pump, stop};
