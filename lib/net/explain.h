/*
 * explain.h: why a socket call about an address failed, in words.
 */
#ifndef PFK_NET_EXPLAIN_H
#define PFK_NET_EXPLAIN_H

#include <prefork.h>

/* Room for either text. */
#define PFK__EXPLAIN_SIZE 200

/*
 * The step that failed as a verb to be followed by the address: "bind", "listen
 * on", "set SO_REUSEADDR on".  step is a call's name (socket, bind, listen,
 * connect, getsockname) or a socket option's.  Returns dst.
 */
const char *pfk__explain_step(char *dst, const char *step);

/* The cause and, where it can be known, the cure.  Returns dst. */
const char *pfk__explain(char *dst, const char *step, int error,
    const struct pfk_addr *addr);

#endif
