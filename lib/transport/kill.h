/*
 * kill.h: end the connections of one peer.
 */
#ifndef PFK_TRANSPORT_KILL_H
#define PFK_TRANSPORT_KILL_H

#include <prefork.h>

/*
 * Reset the connections that l's servers have from this address and port; several
 * have, if it is connected to several of our addresses.  Returns their number, or -1
 * where one is on its way to another process: that process has to be asked.
 */
int pfk__tcp_kill(struct pfk_loop *l, const struct pfk_addr *peer);

#endif
