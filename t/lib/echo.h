/*
 * The callbacks of an echo whose self is the transport, and its worker: for tests of
 * what happens around it.
 */
#ifndef ECHO_H
#define ECHO_H

#include <prefork.h>

void *echo_made(struct pfk_transport *tr, void *arg);
void echo_received(void *self, const void *buf, size_t len);
void *echo_resumed(struct pfk_transport *tr, void *arg, const void *buf,
    size_t len);

/* For worker_init: listen there, and serve by the protocol. */
int echo_serve(struct pfk_worker *w, const struct pfk_listen *want,
    const struct pfk_protocol *protocol);

#endif
