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
 * lacks is left out: pfk_sockopts_report tells of it.  -1: *failed names the
 * option.
 */
int pfk__sockopts_set(int fd, enum pfk_kind kind, const struct pfk_sockopts *o,
    const char **failed);

/* Whether setsockopt(2) failed because the protocol lacks the option. */
bool pfk__sockopt_lacking(int error);

#endif
