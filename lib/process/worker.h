/*
 * worker.h: the worker's side of the process pair.
 */
#ifndef PFK_PROCESS_WORKER_H
#define PFK_PROCESS_WORKER_H

#include <prefork.h>

#include "process/channel.h"
#include "process/custody.h"

struct pfk_worker {
	int slot;
	uint64_t generation;
	int channel;
	bool first_boot; /* no worker of this master was ever ready */
	const struct pfk__custody *custody;
	uint64_t *beat; /* shared with the master: heartbeat.h */
	const struct pfk_master_config *config;
	const struct pfk_hooks *hooks;
	void *arg;

	struct pfk_loop *loop;
	struct pfk_io *io; /* the channel's */
	struct pfk_timer *deadline;
	struct pfk__message failure;
	bool leaving;
	enum pfk_drain how; /* it leaves */
};

/*
 * Be the worker, in the child that was forked for it, with all signals
 * blocked: boot, serve until drained, and exit(3).
 */
void pfk__worker_main(struct pfk_worker *w) __attribute__((noreturn));

#endif
