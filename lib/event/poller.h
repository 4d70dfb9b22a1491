/*
 * poller.h: the seam between the loop and the back-end that waits for
 * descriptors.
 *
 * A back-end keeps no interest of its own unless its system call needs it: the
 * loop passes the interest before and the interest now.  Wants are PFK_READ and
 * PFK_WRITE; a descriptor wanted for nothing is not watched at all, not even
 * for errors.  PFK__FOR_ONE besides: siblings watch it, too, and of those that
 * say so the kernel need wake only one.  Generations pass through untouched.
 */
#ifndef PFK_EVENT_POLLER_H
#define PFK_EVENT_POLLER_H

#include <stdbool.h>
#include <stdint.h>

#define PFK__FOR_ONE 8u /* beside PFK_READ, _WRITE and _FAULT */

struct pfk__ready {
	int fd;
	unsigned what; /* PFK_READ, PFK_WRITE, PFK_FAULT */
	uint32_t generation;
};

struct pfk__poller {
	const char *name;
	/* close(2) ends the watch, where nobody else has the descriptor. */
	bool close_ends;
	/*
	 * fd: the poller's own, from a predecessor; -1: a new one.  NULL with
	 * errno and the name of the call that failed.
	 */
	void *(*open)(int fd, const char **failed);
	void (*close)(void *p);
	/* The poller's own descriptor, or -1. */
	int (*fd)(const void *p);
	/*
	 * -1 with errno, and the old interest stays.  It comes to the same
	 * whether or not the descriptor is watched already, so that it can be
	 * done again where a process died in it.
	 */
	int (*set)(void *p, int fd, uint32_t generation, unsigned was,
	    unsigned want);
	/* Up to max events; timeout -1 is for ever.  -1 with errno. */
	int (*wait)(void *p, struct pfk__ready *ready, int max, int timeout_ms);
};

extern const struct pfk__poller pfk__poller_epoll;
extern const struct pfk__poller pfk__poller_poll;

#endif
