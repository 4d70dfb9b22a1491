/*
 * echo.h: the service: RFC 862 over TCP and UDP.
 */
#ifndef ECHO_ECHO_H
#define ECHO_ECHO_H

#include "config.h"

struct echo;

/* The hooks of pfk_master_run that run in a worker. */
int echo_worker_init(struct pfk_worker *w, const struct config *c);
void echo_worker_exit(void);

#endif
