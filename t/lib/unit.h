/*
 * Shared tools of the C tests: loops that run until something has happened,
 * loopback sockets, and a count of open descriptors.
 */
#ifndef UNIT_H
#define UNIT_H

#include <prefork.h>

/* Every case of a loop runs on each of these; NULL ends the list. */
extern const char *const unit_backends[];

/*
 * Run the loop until *value is at least `least`; false when that takes more
 * than five seconds or the loop has ended before.
 */
bool unit_run_until(struct pfk_loop *l, const int *value, int least);

/*
 * Run the loop for a few turns more, so that an event that must not come could.
 */
void unit_settle(struct pfk_loop *l);

/* How many descriptors this process has open, and how many children. */
int unit_count_fds(void);
int unit_count_children(void);

/*
 * A non-blocking listener, a blocking connection to it, a UDP socket bound to
 * 127.0.0.1; any port. They end the test when they cannot be had.
 */
int unit_listen(struct pfk_addr *bound);
int unit_connect(const struct pfk_addr *to);
int unit_udp(struct pfk_addr *bound);

/*
 * Blocking, five seconds at most: all n bytes; the result of read(2) or
 * write(2).
 */
ssize_t unit_read(int fd, void *buf, size_t n);
ssize_t unit_write(int fd, const void *buf, size_t n);

/* A pair of connected stream sockets, both non-blocking. */
void unit_pair(int fds[2]);

#endif
