/*
 * errors.h: the error queue of a socket.
 *
 * The kernel puts reports there that the owner of the socket has asked for by an
 * option: the time at which a byte left, the end of a send without a copy, an ICMP
 * message.  This library asks for none of them.  A process that had the socket
 * before may have asked: then poll(2) tells of an error for as long as a report
 * waits, and the reports take the room of received bytes.
 */
#ifndef PFK_NET_ERRORS_H
#define PFK_NET_ERRORS_H

/* Let the kernel put no more reports there. */
void pfk__errors_off(int fd);

/*
 * Drop the reports that wait, a bounded number.  Without a wait, and without effect
 * where the socket has no such queue.  Returns the number of dropped ones.
 */
unsigned pfk__errors_drop(int fd);

#endif
