/*
 * unit-udp-kernel.c: batches of datagrams where the kernel says no. Every case
 * runs on each back-end; the library's calls to the kernel pass through here.
 */
#include <err.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "datagrams.h"
#include "tap.h"
#include "unit.h"

/* the kernel, as the library sees it */

static bool no_offload;  /* it knows neither UDP_GRO nor UDP_SEGMENT */
static bool only_trains; /* fail those with UDP_SEGMENT alone */
static int script[8];    /* errno, or 0, of each message that is tried */
static int scripted;     /* so many; the last one goes on */
static int at_a_time;    /* messages a call; 0: all */
static int tried, sent, trains, refused;

static bool
is_train(const struct msghdr *h)
{
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(h); cm != NULL;
	     cm = CMSG_NXTHDR((struct msghdr *)(uintptr_t)h, cm)) {
		if (cm->cmsg_level == SOL_UDP && cm->cmsg_type == UDP_SEGMENT)
			return true;
	}
	return false;
}

static int
next_error(const struct msghdr *h)
{
	if (scripted == 0 || (only_trains && !is_train(h)))
		return 0;
	tried++;
	return script[tried <= scripted ? tried - 1 : scripted - 1];
}

int
sendmmsg(int fd, struct mmsghdr *vmessages, unsigned n, int flags)
{
	int rc;

	if (at_a_time > 0 && n > (unsigned)at_a_time)
		n = (unsigned)at_a_time;
	for (unsigned i = 0; i < n; i++) {
		int error = next_error(&vmessages[i].msg_hdr);

		if (error != 0 && i == 0) {
			errno = error;
			return -1;
		}
		if (error != 0) {
			tried--; /* it is the next call's first */
			n = i;
		}
	}
	rc = (int)syscall(SYS_sendmmsg, fd, vmessages, n, flags);
	refused += rc == -1 && is_train(&vmessages->msg_hdr);
	for (int i = 0; i < rc; i++)
		trains += is_train(&vmessages[i].msg_hdr);
	sent += rc > 0 ? rc : 0;
	return rc;
}

ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
	int error = next_error(message);
	ssize_t rc;

	if (error != 0) {
		errno = error;
		return -1;
	}
	rc = syscall(SYS_sendmsg, fd, message, flags);
	sent += rc >= 0;
	return rc;
}

int
setsockopt(int fd, int level, int name, const void *optval, socklen_t len)
{
	if (no_offload && level == SOL_UDP) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return (int)syscall(SYS_setsockopt, fd, level, name, optval, len);
}

int
getsockopt(int fd, int level, int name, void *restrict optval,
    socklen_t *restrict len)
{
	if (no_offload && level == SOL_UDP) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return (int)syscall(SYS_getsockopt, fd, level, name, optval, len);
}

/* From now on: one error, or a 0, for each message; the last one goes on. */
static void
play(bool trains_alone, int n, const int *errors_of)
{
	memcpy(script, errors_of, (size_t)n * sizeof(*script));
	scripted = n;
	only_trains = trains_alone;
	tried = 0;
}

#define PLAY(trains_alone, ...) \
	play(trains_alone, (int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int)), \
	    (int[]){__VA_ARGS__})

static void
begin(void)
{
	dg_begin_at(dg.host);
	sent = trains = refused = scripted = at_a_time = 0;
}

/* The kernel's own errors. */

static void
test_not_taken(int error)
{
	begin();
	PLAY(true, error);
	dg_put(&dg.clients[1], 10);
	dg_put_train(&dg.clients[0], &dg.addr, 100, 5, 7);
	dg_put(&dg.clients[1], 11);
	dg_put_train(&dg.clients[0], &dg.addr, 200, 2, -1);
	dg_check(10, strerror(error));
	is_int(dg.errors, 0, "%s: %s is not told", dg.backend, strerror(error));
	is_int(trains, 0, "%s: %s: all by themselves", dg.backend,
	    strerror(error));
	is_int(pfk_datagram_dropped(dg.endpoint), 0, "%s: none dropped",
	    dg.backend);
	dg_end(strerror(error));
}

/* An error that belongs to the socket loses nothing of a train. */
static void
test_told(void)
{
	begin();
	PLAY(true, ECONNREFUSED, 0);
	dg_put_train(&dg.clients[0], &dg.addr, 100, 5, 7);
	dg_put_train(&dg.clients[1], &dg.addr, 100, 5, 7);
	dg_check(12, "refused");
	is_int(dg.errors, 1, "%s: refused: told once", dg.backend);
	is_int(dg.last_error, ECONNREFUSED, "%s: refused: as it was",
	    dg.backend);
	dg_end("refused");
}

static void
test_full_socket(int error)
{
	begin();
	PLAY(false, 0, error, 0);
	dg_put_train(&dg.clients[0], &dg.addr, 100, 3, -1);
	dg_put_train(&dg.clients[1], &dg.addr, 100, 5, 7);
	dg_put(&dg.clients[2], 8);
	dg.clients[1].promised = 0; /* the second message fails */
	dg_check(10, "socket full");
	is_int(pfk_datagram_dropped(dg.endpoint), 6,
	    "%s: a dropped train counts as its datagrams", dg.backend);
	is_int(dg.errors, 0, "%s: which is no error", dg.backend);
	dg_end("socket full");

	/* The train is refused, then the second of it dropped. */
	begin();
	PLAY(false, EMSGSIZE, 0, error, 0);
	dg_put_train(&dg.clients[0], &dg.addr, 100, 3, -1);
	unit_run_until(dg.loop, &dg.received, 3);
	for (int i = 0; i < 3; i++) {
		if (i != 1)
			is_int(dg_got_number(&dg.clients[0]), i, "%s: %d came",
			    dg.backend, i);
	}
	is_int(dg_got_number(&dg.clients[0]), -1, "%s: and no other",
	    dg.backend);
	is_int(pfk_datagram_dropped(dg.endpoint), 1, "%s: one dropped",
	    dg.backend);
	is_int(dg.errors, 0, "%s: nobody is told", dg.backend);
	dg_end("one of a train");
}

static void
test_interrupted(void)
{
	begin();
	PLAY(false, 0, EINTR, EINTR, 0);
	dg_put_train(&dg.clients[0], &dg.addr, 100, 3, -1);
	dg_put_train(&dg.clients[1], &dg.addr, 100, 5, 7);
	dg_put(&dg.clients[2], 8);
	dg_check(10, "interrupted");
	is_int(trains, 2, "%s: interrupted: tried again", dg.backend);
	is_int(dg.errors, 0, "%s: interrupted: nobody is told", dg.backend);
	dg_end("interrupted");

	begin();
	at_a_time = 1;
	dg_put_train(&dg.clients[0], &dg.addr, 100, 3, -1);
	dg_put(&dg.clients[1], 7);
	dg_put(&dg.clients[1], 8);
	dg_put(&dg.clients[2], 8);
	dg_check(6, "one at a time");
	dg_end("one at a time");
}

/* kernels */

/* Another process has switched UDP_GRO on, and this kernel refuses us. */
static void
test_no_offload(void)
{
	int on = 1, fd;

	no_offload = true;
	begin();
	dg_put_train(&dg.clients[0], &dg.addr, 100, 9, 40);
	dg_check(10, "not coalesced");
	dg_end("not coalesced");
	begin();
	pfk_datagram_close(&dg.endpoint);
	unit_settle(dg.loop);
	dg.lost = 0;
	fd = dg_open_bound(dg.host, &dg.addr);
	if (syscall(SYS_setsockopt, fd, SOL_UDP, UDP_GRO, &on, sizeof(on)) ==
	    -1)
		err(1, "UDP_GRO");
	dg.endpoint = pfk_datagram_open(dg.loop, fd, &dg_protocol, NULL);
	dg_put_train(&dg.clients[0], &dg.addr, 100, 9, 40);
	dg_check(10, "coalesced by another");
	is_int(trains, 0, "%s: answered by themselves", dg.backend);
	dg_end("coalesced by another");
	no_offload = false;
}

/* A network of our own, with a narrow loopback interface. */
static bool
narrow(void)
{
	struct ifreq r = {.ifr_name = "lo", .ifr_mtu = 1500};
	int fd, rc;

	if (unshare(CLONE_NEWNET) == -1 &&
	    unshare(CLONE_NEWUSER | CLONE_NEWNET) == -1)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	rc = ioctl(fd, SIOCSIFMTU, &r);
	r.ifr_flags = IFF_UP;
	rc |= ioctl(fd, SIOCSIFFLAGS, &r);
	close(fd);
	return rc == 0;
}

static void
test_narrow(void)
{
	begin();
	for (int i = 0; i < 5; i++) {
		dg_put(&dg.clients[0], 2000);
		dg_put(&dg.clients[1], 1472);
	}
	dg_check(10, "narrow");
	is_int(refused, 1, "%s: narrow: one train was refused", dg.backend);
	is_int(trains, 1, "%s: narrow: the other was not", dg.backend);
	is_int(dg.errors, 0, "%s: narrow: nobody is told", dg.backend);
	dg_end("narrow");
}

static void
test_all(void)
{
	test_not_taken(EINVAL);
	test_not_taken(EMSGSIZE);
	test_not_taken(EIO);
	test_told();
	test_full_socket(EAGAIN);
	test_full_socket(ENOBUFS);
	test_interrupted();
	test_no_offload();
}

int
main(void)
{
	for (int i = 0; unit_backends[i] != NULL; i++) {
		dg.backend = unit_backends[i];
		dg.host = "127.0.0.1";
		test_all();
		dg.host = "::1";
		if (dg_has_host())
			test_all();
	}
	dg.host = "127.0.0.1";
	if (!narrow()) {
		skip(1, "no network of our own");
		return done_testing();
	}
	for (int i = 0; unit_backends[i] != NULL; i++) {
		dg.backend = unit_backends[i];
		test_narrow();
	}
	return done_testing();
}
