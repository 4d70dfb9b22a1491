/*
 * received.h: descriptors that another process has sent.
 *
 * The sender may be hostile.  recv(2) without room for descriptors, and
 * close(2) of a socket with descriptors in its queue, let the kernel close them
 * in the caller's name; and a close of a TCP socket with unsent bytes waits as
 * long as its SO_LINGER says.  So each descriptor is taken in, and closed here.
 *
 * Still open: close(2) of a file on FUSE or on a network file system waits for
 * its server, and descriptors that do not fit into the table are closed by the
 * kernel.  pfk__receive_none is the cure, on Linux 6.16 or newer.
 */
#ifndef PFK_BASE_RECEIVED_H
#define PFK_BASE_RECEIVED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The most that any message has room for here. */
#define PFK__PARCEL_FDS 2

struct pfk__parcel {
	int fds[PFK__PARCEL_FDS]; /* the caller's; -1: none */
	size_t n;      /* that came; those beyond the room are closed */
	bool no_room;  /* this process had no room for one or more */
	bool too_long; /* the message was longer than the buffer */
	bool is_end;   /* nothing came with the 0 bytes: end of file */
};

/*
 * recvmsg(2) from a unix(7) socket; it never waits, also where somebody has
 * cleared O_NONBLOCK.  -1 with errno, EAGAIN also where memory is short: the message
 * stays.
 */
ssize_t pfk__receive(int fd, void *buf, size_t len, struct pfk__parcel *p);

/* Of the parcel: close its descriptors. */
void pfk__parcel_close(struct pfk__parcel *p);

/* Before a close(2): do not wait for unsent bytes. */
void pfk__never_linger(int fd);

/* Close a descriptor that another process has sent. */
void pfk__close_received(int fd);

/* The same for all of a control message, of any type. */
struct cmsghdr;
void pfk__close_sent(const struct cmsghdr *cm);

/*
 * Close our own end of a unix(7) socket: nothing can be sent to it any more,
 * and the descriptors in its queue are closed one by one.
 */
void pfk__close_emptied(int fd);

/*
 * Let the kernel refuse descriptors that are sent to fd, where it can; and leave that
 * as it is for each socket from now on, because the sandbox denies the call.
 */
void pfk__receive_none(int fd);
void pfk__receive_fixed(void);

#endif
