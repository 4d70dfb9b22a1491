/*
 * wire.h: messages between the master and the log process, over a socket pair
 * that keeps their boundaries.
 *
 * Both ends trust each other.  Neither waits for the other: a message that does
 * not fit is refused with EAGAIN, and its sender repeats it later.
 */
#ifndef PFK_LOGGER_WIRE_H
#define PFK_LOGGER_WIRE_H

#include <stdint.h>

enum pfk__wire_type {
	/* From the master. */
	PFK__WIRE_SOURCE = 1, /* index, pid, name and the pipe's read end */
	PFK__WIRE_REOPEN,     /* write to this descriptor from now on */
	PFK__WIRE_FLUSH,      /* write all that is in the pipes, then answer */
	/* From the log process. */
	PFK__WIRE_ENDED,   /* no writer has the pipe of this index */
	PFK__WIRE_FLUSHED, /* error 0, or why it cannot be written */
	PFK__WIRE_TROUBLE  /* the target refuses lines, with this error */
};

struct pfk__wire {
	uint32_t type;
	int32_t index;
	int32_t pid;
	int32_t error;
	char name[32];
};

/* Send, with a duplicate of fd unless that is -1. */
int pfk__wire_send(int socket, const struct pfk__wire *w, int fd);

/*
 * Receive; *fd is -1 or the caller's.  Returns 1, 0 at the end, or -1 with
 * EAGAIN or an error.
 */
int pfk__wire_receive(int socket, struct pfk__wire *w, int *fd);

#endif
