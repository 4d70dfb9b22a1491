/*
 * sockopts.h: set the options of a struct pfk_sockopts on a socket.
 */
#ifndef PFK_NET_SOCKOPTS_H
#define PFK_NET_SOCKOPTS_H

#include <prefork.h>

/*
 * Set the options of o on a socket of the kind, before listen(2) or connect(2);
 * on Linux an accepted connection inherits those of its TCP listener.  backlog
 * and fastopen are the listener's own business.  An option that the protocol
 * lacks is left out: pfk__sockopts_report tells of it.  -1: *failed names the
 * option.
 */
int pfk__sockopts_set(int fd, enum pfk_kind kind, const struct pfk_sockopts *o,
    const char **failed);

/*
 * Compare the options asked for with those in force on the socket, and call cb
 * for each option that is smaller: its name, both values, and the sysctl that
 * holds it down; and for each that the socket's protocol lacks, with PFK_UNSET
 * in force.
 */
void pfk__sockopts_report(int fd, const struct pfk_sockopts *want,
    void (*cb)(void *arg, const char *name, int asked, int in_force,
	const char *sysctl),
    void *arg);

/* Whether setsockopt(2) failed because the protocol lacks the option. */
bool pfk__sockopt_lacking(int error);

#endif
