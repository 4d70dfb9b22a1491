/*
 * Descriptors of an attacker: close(2) of a connection with unsent bytes waits
 * for nine hours, because its SO_LINGER says so.
 */
#ifndef LINGER_H
#define LINGER_H

#include <stddef.h>

/* Such a connection; its peer stays open for the life of the process. */
int linger_socket(void);

/* Send len bytes with n descriptors; sendmsg(2)'s result. */
int linger_send(int to, const void *buf, size_t len, const int *fds, size_t n);

#endif
