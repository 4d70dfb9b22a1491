/*
 * unit-misuse-length.c: lengths that no memory has, as that of a negative number.
 * Each is refused before a byte is copied.
 */
#include <errno.h>
#include <fcntl.h>
#include <prefork.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

#include "misuse.h"
#include "tap.h"
#include "unit.h"

static int result;
static bool lost;
static int (*action)(struct pfk_transport *tr);

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	result = action(tr) == -1 ? errno : 0;
	/* The connection goes on. */
	if (pfk_write(tr, "x", 1) == -1)
		result = 0;
	pfk_loop_stop(misuse_loop);
	return tr;
}

static void
on_lost(void *self, int error)
{
	(void)self;
	(void)error;
	lost = true;
}

static const struct pfk_protocol protocol = {.connection_made = made,
    .connection_lost = on_lost};

/* The error of an action in a callback of a connection. */
static int
in_callback(int (*act)(struct pfk_transport *tr))
{
	int fds[2];
	char c = 0;

	unit_pair(fds);
	action = act;
	if (pfk_attach(misuse_loop, fds[0], &protocol, NULL) == NULL)
		return 0;
	pfk_loop_run(misuse_loop);
	return unit_read(fds[1], &c, 1) == 1 && c == 'x' && !lost ? result : 0;
}

static int
write_all(struct pfk_transport *tr)
{
	return pfk_write(tr, "v", SIZE_MAX);
}

static int
write_vectors(struct pfk_transport *tr)
{
	struct iovec iov[] = {{(void *)(uintptr_t) "v", SIZE_MAX},
	    {(void *)(uintptr_t) "vv", 2}};

	return pfk_writev(tr, iov, 2);
}

static void
release(void *arg)
{
	(void)arg;
	_exit(1);
}

static int
write_owned(struct pfk_transport *tr)
{
	return pfk_write_owned(tr, "v", SIZE_MAX, release, NULL);
}

static int
writes(void)
{
	return in_callback(write_all);
}

static int
writes_vectors(void)
{
	return in_callback(write_vectors);
}

static int
writes_owned(void)
{
	return in_callback(write_owned);
}

/* A stream that is open. */
static int
writes_to_stream(void)
{
	struct pfk_addr bound;
	int listener = unit_listen(&bound);
	struct pfk_connect_options o = {.host = "127.0.0.1",
	    .port = pfk_addr_port(&bound)};
	struct pfk_stream *s = pfk_stream_open(misuse_loop, &o, NULL, NULL);
	struct pfk_result r;

	if (s == NULL || pfk_run_until(misuse_loop, s, UINT64_MAX, &r) == -1)
		return 0;
	close(listener);
	return pfk_stream_write(s, "v", SIZE_MAX) == -1 ? errno : 0;
}

/* datagrams */

static struct pfk_datagram *endpoint;

static void
received(void *self, const struct pfk_packet *p)
{
	(void)self;
	pfk_sendto(endpoint, p->buf, SIZE_MAX, p->from, p->to);
	pfk_sendto(endpoint, "v", SIZE_MAX - 1, p->from, p->to);
}

static void
failed(void *self, int error)
{
	(void)self;
	result = error;
	pfk_loop_stop(misuse_loop);
}

static const struct pfk_datagram_protocol answers =
    {.datagram_received = received, .error_received = failed};

static int
sends(void)
{
	struct pfk_addr to, from;
	int fd = unit_udp(&to), client = unit_udp(&from);

	if (fcntl(fd, F_SETFL, O_NONBLOCK) == -1 ||
	    sendto(client, "x", 1, 0, &to.sa, to.len) != 1)
		return 0;
	endpoint = pfk_datagram_open(misuse_loop, fd, &answers, NULL);
	pfk_loop_run(misuse_loop);
	return result;
}

static int
sends_by_path(void)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "@unit-misuse-length-%d", (int)getpid());
	fd = pfk_unix_bind(name, 0600);

	endpoint = pfk_datagram_open(misuse_loop, fd, &answers, NULL);
	return pfk_unix_sendto(endpoint, "v", SIZE_MAX, "@none") == -1 ? errno
								       : 0;
}

#define LENGTH "18446744073709551615 bytes are more than there can be"

static const struct misuse rows[] = {
    {"write", writes, EINVAL, "pfk_write: " LENGTH},
    {"a sum of vectors", writes_vectors, EINVAL, "pfk_writev: the vectors"},
    {"write a buffer", writes_owned, EINVAL, "pfk_write_owned: " LENGTH},
    {"write to a stream", writes_to_stream, EINVAL,
	"pfk_stream_write: " LENGTH},
    {"send a datagram", sends, EINVAL, "pfk_sendto: " LENGTH},
    {"send one by path", sends_by_path, EINVAL, "pfk_unix_sendto: " LENGTH},
};

int
main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		misuse_try(&rows[i]);
	return done_testing();
}
