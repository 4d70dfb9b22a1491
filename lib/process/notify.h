/*
 * notify.h: tell the service manager how the service is: sd_notify(3).
 *
 * Everything here does nothing where the environment names no socket.  A message
 * is one datagram that is sent without waiting; the manager may miss one.
 */
#ifndef PFK_PROCESS_NOTIFY_H
#define PFK_PROCESS_NOTIFY_H

#include <stdint.h>

struct pfk__master;

struct pfk__notify {
	int fd; /* or 0: nobody wants to know */
	uint64_t watchdog_ns;
	struct pfk_timer
	    *watchdog; /* from the loop, which a hung master lacks */
	struct pfk_timer *tick;
	char status[160]; /* the last one that was told */
};

/*
 * Send one message, with a descriptor unless fd is -1.  -1: errno; EAGAIN: the
 * manager has no room for it now.
 */
int pfk__notify_pass(const struct pfk__master *m, const char *text, int fd);

void pfk__notify_open(struct pfk__master *m);
void pfk__notify_close(struct pfk__master *m);

/* All workers serve: at the start, and after a reload, however it ended. */
void pfk__notify_ready(struct pfk__master *m);
void pfk__notify_reloading(struct pfk__master *m);
/* And ask for time as long as it drains. */
void pfk__notify_stopping(struct pfk__master *m);

#endif
