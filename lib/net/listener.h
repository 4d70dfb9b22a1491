/*
 * listener.h: open one socket of a SO_REUSEPORT group.
 */
#ifndef PFK_NET_LISTENER_H
#define PFK_NET_LISTENER_H

#include <prefork.h>

enum pfk__group {
	PFK__GROUP_FOUND, /* the first: EADDRINUSE if anybody has the port */
	PFK__GROUP_JOIN   /* one more of the same group */
};

/*
 * Open, bind and, for TCP, listen.  addr may have port 0; *bound is the address
 * in force.  On failure *step names the call.
 */
int pfk__listener_open(enum pfk_kind kind, const struct pfk_addr *addr,
    enum pfk__group group, const struct pfk_sockopts *o, struct pfk_addr *bound,
    const char **step);

/* Set options on a socket that is already listening. */
int pfk__listener_tune(int fd, enum pfk_kind kind, const struct pfk_sockopts *o,
    const char **step);

/*
 * Why another socket has to take its place, or NULL: ss -K or shutdown(2) has
 * ended it, or another process that has it has changed it in a way that cannot
 * be undone.
 */
const char *pfk__listener_fault(int fd, enum pfk_kind kind);

/* Restore all options that can be restored. */
void pfk__listener_reclaim(int fd);

const char *pfk__kind_name(enum pfk_kind kind);

/*
 * Write to buf the process that holds the address, as far as this user may see;
 * "another process" where it may not.  Returns buf.  proc(5): net/tcp, PID/fd.
 */
const char *pfk__listener_holder(enum pfk_kind kind,
    const struct pfk_addr *addr, char *buf, size_t size);
/*
 * The same for a listener or datagram socket that the process `except` does not have;
 * false: there is none.
 */
bool pfk__listener_held(enum pfk_kind kind, const struct pfk_addr *addr,
    pid_t except, char *buf, size_t size);

#endif
