/*
 * worker.h: the worker's side of the process pair.
 */
#ifndef PFK_PROCESS_WORKER_H
#define PFK_PROCESS_WORKER_H

#include <prefork.h>

#include "base/user.h"
#include "process/channel.h"
#include "process/custody.h"
#include "process/keeper.h"

struct pfk_worker {
	int slot;
	uint64_t generation;
	int channel;
	int workers;      /* the service's */
	bool first_boot;  /* no worker of this master was ever ready */
	bool after_death; /* another master of this service has died */
	const struct pfk__custody *custody;
	pid_t keeper;               /* its parent, as long as that lives */
	struct pfk__page *page;     /* shared with the master: keeper.h */
	struct pfk__ledger *ledger; /* shared with the keeper, or NULL */
	const struct pfk_master_config *config;
	const struct pfk_hooks *hooks;
	void *arg;

	struct pfk__user user;
	struct pfk_loop *loop;
	struct pfk_io *io; /* the channel's */
	struct pfk_timer *deadline;
	const char *control_path; /* the service's control socket, or NULL */
	struct pfk_timer *knock;  /* an orphan's: orphan.c */
	struct pfk_timer *introduction; /* while the channel is full */
	struct pfk__message failure;
	bool listened; /* pfk_worker_listen was called */
	bool leaving;
	uint64_t lost; /* connections of the predecessor, to begin with */
	bool let_go;   /* by a master that gives way to another program's */
	enum pfk_drain how; /* it leaves */
};

/*
 * Be the worker, in a process that was made for it, with all signals blocked
 * and no descriptor of others': boot, serve until drained, and exit(3).
 */
void pfk__worker_main(struct pfk_worker *w) __attribute__((noreturn));

/* For orphan.c: watch the channel; -1 with errno. */
int pfk__worker_watch(struct pfk_worker *w);
void pfk__worker_release(struct pfk_worker *w, int owner);
void pfk__worker_drain(struct pfk_worker *w, enum pfk_drain how,
    uint64_t timeout_ns);

/*
 * resume.c: close the predecessor's descriptors that have no record; returns a
 * connection that was accepted and not recorded, or -1.  And go on where it died.
 */
int pfk__worker_sweep(struct pfk_worker *w);
int pfk__worker_resume(struct pfk_worker *w, int accepted);

/*
 * confine.c: enter the sandbox; -1 by pfk_worker_fail.  And, in the master, EX_OK or
 * the status to exit with, after a complaint, where it cannot be as is asked.
 */
int pfk__worker_confine(struct pfk_worker *w);
int pfk__check_sandbox(const struct pfk_master_config *config);
/* With a sandbox and workers of another user, give up unused capabilities. */
void pfk__confine_master(const struct pfk_master_config *config);

/*
 * listen_again.c: the listener's record, from which a successor takes it; and
 * that successor's pfk_worker_listen, which opens nothing, because its
 * predecessor's sockets are in its table.
 */
struct pfk__ledger;
void pfk__listener_record(struct pfk__ledger *g, int fd,
    const struct pfk_listen *want, const struct pfk_addr *bound,
    uint64_t opened_ns);
int pfk__listen_again(struct pfk_worker *w, const struct pfk_listen *want,
    size_t n, int *fds);
/* Leave all listeners: the worker drains. */
void pfk__listeners_leave(void *ledger);

/* "serving on tcp A, udp B", or the number of addresses; begin with {0}. */
struct pfk__serving_line {
	char text[400];
	size_t n;
};
void pfk__serving_add(struct pfk__serving_line *line, enum pfk_kind kind,
    const struct pfk_addr *bound);
void pfk__serving_log(const struct pfk__serving_line *line);

#endif
