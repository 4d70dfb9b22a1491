/*
 * channel.h: messages between the master and a worker.
 *
 * One sequenced-packet socket pair a worker; one message a packet, with at most
 * one descriptor.
 *
 * Versions: a worker tells that of its program when it knocks (takeover.h).  A
 * new message gets a new number, behind the others, and a new field its place
 * before the text, which may change its length; an unknown message of another
 * version is ignored, and one of the same version is wrong.  Only version 1 has
 * other numbers: LATER was put before DIED then.
 */
#ifndef PFK_PROCESS_CHANNEL_H
#define PFK_PROCESS_CHANNEL_H

#include <prefork.h>
#include <stddef.h>

/* The torture builds a program in which it is longer. */
#ifndef PFK__MESSAGE_TEXT
#define PFK__MESSAGE_TEXT 400
#endif

enum pfk__msg {
	/* From the worker. */
	PFK__MSG_LEND = 1, /* a listener, with a duplicate; ns: its opening */
	PFK__MSG_KEEP,     /* a listener taken out of custody is in use */
	PFK__MSG_READY,    /* boot is over */
	PFK__MSG_FAIL,     /* boot failed: status and text */
	PFK__MSG_KEPT,     /* status: connections that nobody has taken */
	PFK__MSG_TAKEN,    /* all that came by a PFK__MSG_TAKE */
	PFK__MSG_LEAVING,  /* told to by a signal: it needs a successor */
	PFK__MSG_LISTED,   /* its connections: status of them, or -1 */
	PFK__MSG_STARTED,  /* a worker's first one: its pid; ns: the deaths
			    * before it */
	PFK__MSG_LATER,    /* status: connections whose protocols are busy */
	/* From the keeper. */
	PFK__MSG_DIED, /* its worker: pid and status; another one follows; ns:
			* its deaths so far */
	/* From the master. */
	PFK__MSG_DRAIN,   /* how, within ns; 0: without end */
	PFK__MSG_GIVE,    /* where to give connections; status: the number of
			 * these messages that follow */
	PFK__MSG_TAKE,    /* where the owner's connections come from; status:
			 * the version of its program */
	PFK__MSG_ADOPT,   /* a socket of the owner's slot, to serve meanwhile */
	PFK__MSG_RELEASE, /* the owner serves its queues again */
	PFK__MSG_LEVEL,   /* status is the log's enum pfk_level from now on */
	PFK__MSG_LIST,    /* a file to list the connections in */
	PFK__MSG_LET_GO,  /* the master gives way to another program's */
	PFK__MSG_KILL,    /* end the connections of a peer; ns: a ticket */
	/* From the worker. */
	PFK__MSG_KILLED, /* that ticket: status of them, or -1: on their way */
	/* A new one comes here, with its sender. */
	PFK__MSG_TYPES /* no message, but a bound */
};

struct pfk__message {
	uint32_t type;
	int32_t slot;
	uint64_t generation;
	uint64_t ns; /* a time to drain, or 0: none; when it was opened */
	int32_t status;
	int32_t kind;  /* enum pfk_kind */
	int32_t how;   /* enum pfk_drain */
	int32_t owner; /* a slot */
	int32_t pid;
	struct pfk_addr asked, bound;
	char text[PFK__MESSAGE_TEXT];
};

/* Up to the text, which may be shorter or longer in another version. */
#define PFK__MESSAGE_MIN offsetof(struct pfk__message, text)

int pfk__channel_pair(int fds[2]);

/* A message's number in another version, and the one here of such a number. */
uint32_t pfk__msg_in_version(uint32_t type, int version);
uint32_t pfk__msg_of_version(uint32_t type, int version);

/*
 * pass is a descriptor to send along, or -1; it stays the caller's.  A full
 * channel gives EAGAIN, from pfk__channel_try at once, and from
 * pfk__channel_send when the peer has read nothing for a second.
 */
int pfk__channel_try(int fd, const struct pfk__message *m, int pass);
int pfk__channel_send(int fd, const struct pfk__message *m, int pass);

/*
 * 1 for a message, 0 at the end of file, -1 with errno: EAGAIN, EPROTO for a
 * packet that is no message, or EMFILE where *m is one but this process had no
 * room for its descriptor.  *passed is a received descriptor or -1; it is the
 * caller's.
 */
int pfk__channel_receive(int fd, struct pfk__message *m, int *passed);

#endif
