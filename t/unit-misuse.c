/*
 * unit-misuse.c: mistakes in the use of transports. Each one fails with its errno
 * and one line that names it.
 */
#include <errno.h>
#include <fcntl.h>
#include <prefork.h>
#include <unistd.h>

#include "misuse.h"
#include "tap.h"
#include "unit.h"

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	return tr;
}

static ssize_t
hand_over(void *self, void *buf, size_t room)
{
	(void)self;
	(void)buf;
	(void)room;
	return 0;
}

static void *
resumed(struct pfk_transport *tr, void *arg, const void *buf, size_t len)
{
	(void)arg;
	(void)buf;
	(void)len;
	return tr;
}

static void
failed(void *arg, int error, const char *causes)
{
	(void)arg;
	(void)error;
	(void)causes;
}

static const struct pfk_protocol good = {.connection_made = made};
static const struct pfk_protocol empty;
static const struct pfk_protocol half = {.connection_made = made,
    .hand_over = hand_over};
static const struct pfk_protocol other_half = {.connection_made = made,
    .connection_resumed = resumed};
static const struct pfk_protocol mortal = {.connection_made = made,
    .survives = true};
static const struct pfk_protocol idle_block = {.connection_made = made,
    .block_bytes = 8};
static const struct pfk_datagram_protocol datagrams;

/* errno of a call that failed, after which the caller still owns fd; else 0. */
static int
refused(const void *object, int fd)
{
	int error = errno;

	if (object != NULL || (error != EBADF && fcntl(fd, F_GETFD) == -1))
		return 0;
	return error;
}

static int
serve(int fd, const struct pfk_protocol *proto)
{
	return refused(pfk_serve(misuse_loop, fd, proto, NULL, NULL), fd);
}

static int
new_socket(int type)
{
	return socket(AF_INET, type, 0);
}

static int
listener(void)
{
	struct pfk_addr bound;

	return unit_listen(&bound);
}

static int
no_made(void)
{
	return serve(listener(), &empty);
}

static int
no_protocol(void)
{
	return serve(listener(), NULL);
}

static int
half_hand_over(void)
{
	return serve(listener(), &half);
}

static int
half_resumed(void)
{
	return serve(listener(), &other_half);
}

static int
block_alone(void)
{
	return serve(listener(), &idle_block);
}

static int
survives_alone(void)
{
	return serve(listener(), &mortal);
}

static int
serve_udp(void)
{
	return serve(new_socket(SOCK_DGRAM | SOCK_NONBLOCK), &good);
}

static int
serve_blocking(void)
{
	int fd = listener();

	fcntl(fd, F_SETFL, 0);
	return serve(fd, &good);
}

static int
serve_deaf(void)
{
	return serve(new_socket(SOCK_STREAM | SOCK_NONBLOCK), &good);
}

static int
serve_file(void)
{
	return serve(open("/dev/null", O_RDWR), &good);
}

static int
attach(int fd, const struct pfk_protocol *proto)
{
	return refused(pfk_attach(misuse_loop, fd, proto, NULL), fd);
}

static int
attach_empty(void)
{
	return attach(new_socket(SOCK_STREAM | SOCK_NONBLOCK), &empty);
}

static int
attach_blocking(void)
{
	int fds[2];

	unit_pair(fds);
	fcntl(fds[0], F_SETFL, 0);
	return attach(fds[0], &good);
}

static int
attach_unconnected(void)
{
	return attach(new_socket(SOCK_STREAM | SOCK_NONBLOCK), &good);
}

static int
attach_listener(void)
{
	return attach(listener(), &good);
}

static int
attach_file(void)
{
	return attach(open("/dev/null", O_RDWR), &good);
}

static int
serve_closed(void)
{
	return serve(9999, &good);
}

static int
open_datagram(int fd, const struct pfk_datagram_protocol *proto)
{
	return refused(pfk_datagram_open(misuse_loop, fd, proto, NULL), fd);
}

static int
datagram_tcp(void)
{
	return open_datagram(listener(), &datagrams);
}

static int
datagram_blocking(void)
{
	return open_datagram(new_socket(SOCK_DGRAM), &datagrams);
}

static int
datagram_unbound(void)
{
	return open_datagram(new_socket(SOCK_DGRAM | SOCK_NONBLOCK),
	    &datagrams);
}

static int
datagram_nothing(void)
{
	return open_datagram(new_socket(SOCK_DGRAM | SOCK_NONBLOCK), NULL);
}

static int
connect_no_host(void)
{
	struct pfk_connect_options o = {.port = 1};

	return pfk_connect(misuse_loop, &o, &good, NULL, failed) == NULL ? errno
									 : 0;
}

static int
connect_no_failed(void)
{
	struct pfk_connect_options o = {.host = "127.0.0.1", .port = 1};

	return pfk_connect(misuse_loop, &o, &good, NULL, NULL) == NULL ? errno
								       : 0;
}

static int
connect_no_made(void)
{
	struct pfk_connect_options o = {.host = "127.0.0.1", .port = 1};

	return pfk_connect(misuse_loop, &o, &empty, NULL, failed) == NULL
	    ? errno
	    : 0;
}

static int
stream_nobody(void)
{
	return pfk_stream_serve(misuse_loop, listener(), NULL, NULL, NULL) ==
		NULL
	    ? errno
	    : 0;
}

#define HALF "the protocol has hand_over and no connection_resumed"

static int
listen_negative(void)
{
	return pfk_unix_listen("@unit-misuse", 0600, -7) == -1 ? errno : 0;
}

static int
connect_family(void)
{
	struct pfk_connect_options o = {.host = "127.0.0.1",
	    .port = 1,
	    .family = 77};

	return pfk_connect(misuse_loop, &o, &good, NULL, failed) == NULL ? errno
									 : 0;
}

static int
connect_datagram_no_host(void)
{
	struct pfk_connect_options o = {.port = 1};

	return pfk_datagram_connect(misuse_loop, &o, &datagrams, NULL,
		   failed) == NULL
	    ? errno
	    : 0;
}

static void
connected(struct pfk_stream *s, void *arg)
{
	(void)s;
	(void)arg;
}

static int
stream_udp(void)
{
	int fd = new_socket(SOCK_DGRAM | SOCK_NONBLOCK);

	return refused(pfk_stream_serve(misuse_loop, fd, connected, NULL, NULL),
	    fd);
}

static int
stream_deaf(void)
{
	int fd = new_socket(SOCK_STREAM | SOCK_NONBLOCK);

	return refused(pfk_stream_serve(misuse_loop, fd, connected, NULL, NULL),
	    fd);
}

static int
stream_no_host(void)
{
	struct pfk_connect_options o = {.port = 1};

	return pfk_stream_open(misuse_loop, &o, NULL, NULL) == NULL ? errno : 0;
}

static const struct misuse rows[] = {
    {"no connection_made", no_made, EINVAL, "has no connection_made"},
    {"no protocol", no_protocol, EINVAL, "pfk_serve: no protocol"},
    {"hand_over alone", half_hand_over, EINVAL, HALF},
    {"connection_resumed alone", half_resumed, EINVAL,
	"neither hand_over nor survives"},
    {"a block that does not survive", block_alone, EINVAL,
	"has block_bytes and does not survive"},
    {"survives alone", survives_alone, EINVAL,
	"survives and has no connection_resumed"},
    {"serve a UDP socket", serve_udp, EINVAL, "is no stream socket"},
    {"serve a blocking socket", serve_blocking, EINVAL, "blocks"},
    {"serve a socket that does not listen", serve_deaf, EINVAL,
	"does not listen"},
    {"serve a file", serve_file, ENOTSOCK, "is no socket"},
    {"serve a closed descriptor", serve_closed, EBADF,
	"descriptor 9999 is not open"},
    {"attach without connection_made", attach_empty, EINVAL,
	"pfk_attach: the protocol has no connection_made"},
    {"attach a blocking socket", attach_blocking, EINVAL, "blocks"},
    {"attach an unconnected socket", attach_unconnected, EINVAL,
	"is not connected"},
    {"attach a listener", attach_listener, EINVAL, "is not connected"},
    {"attach a file", attach_file, ENOTSOCK, "is no socket"},
    {"a datagram endpoint on TCP", datagram_tcp, EINVAL,
	"is no datagram socket"},
    {"a blocking datagram socket", datagram_blocking, EINVAL, "blocks"},
    {"an unbound datagram socket", datagram_unbound, EINVAL, "is not bound"},
    {"no datagram protocol", datagram_nothing, EINVAL,
	"pfk_datagram_open: no protocol"},
    {"connect without a host", connect_no_host, EINVAL, "it needs a host"},
    {"connect without failed", connect_no_failed, EINVAL,
	"a callback for its failure"},
    {"connect without connection_made", connect_no_made, EINVAL,
	"pfk_connect: the protocol has no connection_made"},
    {"a negative backlog", listen_negative, EINVAL,
	"pfk_unix_listen: the backlog is -7"},
    {"connect by another family", connect_family, EINVAL,
	"pfk_connect: address family 77 is none of AF_UNSPEC, AF_INET and "
	"AF_INET6"},
    {"connect datagrams without a host", connect_datagram_no_host, EINVAL,
	"pfk_datagram_connect: it needs a host"},
    {"streams on a UDP socket", stream_udp, EINVAL, "pfk_stream_serve: "},
    {"streams on a socket that does not listen", stream_deaf, EINVAL,
	"pfk_stream_serve: "},
    {"a stream without a host", stream_no_host, EINVAL,
	"pfk_stream_open: it needs a host"},
    {"streams for nobody", stream_nobody, EINVAL,
	"pfk_stream_serve: the callback is NULL"},
};

int
main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		misuse_try(&rows[i]);
	return done_testing();
}
