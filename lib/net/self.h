/*
 * self.h: client sockets that are connected to themselves.
 */
#ifndef PFK_NET_SELF_H
#define PFK_NET_SELF_H

#include <stdbool.h>
#include <stdint.h>

/* Whether fd's own address is its peer's, which has this port. */
bool pfk__self_connected(int fd, uint16_t port);

/* Whether fd's own port is its peer's: a server could not be started there. */
bool pfk__self_same_port(int fd);

/*
 * Close a client's socket.  One that is connected to itself is reset, because
 * its TIME_WAIT would keep the server from its port for a minute.
 */
void pfk__self_close(int fd);

#endif
