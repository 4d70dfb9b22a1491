/*
 * A master with workers in a child of the test's, and its log.  One at a time;
 * it is killed with the test.
 */
#ifndef SERVICE_H
#define SERVICE_H

#include <prefork.h>

/* Set before the start: a worker that dies is the master's to replace. */
extern bool service_no_keeper;
/* For a worker that leaves, and for one whose master has died. */
extern uint64_t service_drain_ns;
extern uint64_t service_orphan_ns;
extern enum pfk_sandbox service_sandbox;
/* Or the path of its control socket. */
extern const char *service_control;

/*
 * Give the next services NAME.sock as control socket, in a directory of the test's,
 * which is returned and removed by tree_remove.
 */
const char *service_place(const char *name);

/* A connection to the control socket, or -1 with errno. */
int service_connect_control(void);

/* Fork it, with shutdown_ns and so on of a second. */
void service_start(const struct pfk_hooks *hooks, int workers);

/* All that it has logged so far, and how long that is. */
const char *service_log(void);
size_t service_log_size(void);

/*
 * Wait for that text behind the offset; where it ends, or 0 when the time is up
 * or everybody has gone.
 */
size_t service_wait(size_t offset, const char *what);

/* How often that text has been logged. */
int service_count(const char *what);

/*
 * The pid of the slot's worker that is started behind the offset; the test ends
 * where none is.
 */
pid_t service_worker(size_t offset, int slot);

/* The port of its TCP listener on 127.0.0.1, once it serves. */
uint16_t service_port(void);

/*
 * A port that is free, because the next services need the same: that of one that was
 * started and ended.
 */
uint16_t service_free_port(const struct pfk_hooks *hooks, int workers);

/* A client that waits 10 s at most; recv_bytes: its buffer, or 0.  -1: errno. */
int service_connect(uint16_t port, int recv_bytes);

/* Whether the byte comes back to the client, once. */
bool service_echoes(int client, char byte);

/* How many descriptors the master has open. */
int service_fds(void);

int service_signal(int signo);

/* Send it the signal; its wait status. */
int service_end(int signo);

#endif
