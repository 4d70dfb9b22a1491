/*
 * echo.h: the service: RFC 862 over TCP and UDP.
 */
#ifndef ECHO_ECHO_H
#define ECHO_ECHO_H

#include <prefork.h>

struct echo_config {
	bool once;
	bool loop_guard;
	int udp_per_source,
	    udp_per_network; /* datagrams a second; 0: no limit */
};

/* The services: until the peer ends, or one echo. */
enum { ECHO_UNTIL_END, ECHO_ONCE };
extern const struct pfk_service echo_services[];

/* The hooks of pfk_main. */
int echo_worker_init(struct pfk_worker *w, const struct pfk_setup *s);
void echo_worker_exit(struct pfk_worker *w, const struct pfk_setup *s);

#endif
