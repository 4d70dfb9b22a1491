/*
 * defaults.h: the options of a listener that another process may have spoilt.
 */
#ifndef PFK_NET_DEFAULTS_H
#define PFK_NET_DEFAULTS_H

/*
 * Set those to their defaults with which no service works: clients of the socket, and
 * of connections that inherit them, would get no answer, or a late one.  An option that
 * a program may have set itself stays, but where its value is too low for any use.
 */
void pfk__defaults_restore(int fd);

#endif
