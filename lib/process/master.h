/*
 * master.h: the supervisor's inside.
 *
 * Invariants:
 *  1. a child is in `children` from fork until it is reaped, in each phase; a
 *     slot's `serving` and `booting` point into that list or are NULL;
 *  2. events (signals, messages, deaths, time) change slots and wishes; a
 *     worker is started, promoted or retired only by pfk__master_act for a
 *     slot's step, or by maintain (master.c), which runs once a turn;
 *  3. a message counts for the child at the other end of its channel, and for
 *     no other.
 */
#ifndef PFK_PROCESS_MASTER_H
#define PFK_PROCESS_MASTER_H

#include <prefork.h>
#include <sys/queue.h>

#include "base/inherit.h"
#include "event/loop.h"
#include "net/handshakes.h"
#include "process/channel.h"
#include "process/custody.h"
#include "process/deaths.h"
#include "process/exporter.h"
#include "process/heartbeat.h"
#include "process/notify.h"
#include "process/pages.h"
#include "process/slot.h"
#include "process/spawn.h"
#include "process/stall.h"
#include "process/store.h"
#include "process/upgrade.h"

enum pfk__phase { PFK__PHASE_BOOTING, PFK__PHASE_SERVING, PFK__PHASE_LEAVING };

struct pfk__child {
	LIST_ENTRY(pfk__child) link;
	struct pfk__master *master;
	pid_t keeper; /* our child: the worker's parent, or itself; 0: dead */
	pid_t pid;    /* the worker's, once it has said so; else 0 */
	int pidfd;    /* of pid, or -1 where the kernel has none */
	int keeper_pidfd; /* of an orphan's keeper; else -1 */
	int slot;
	uint64_t generation; /* of this process, unique */
	uint64_t epoch;      /* of the configuration that it serves */
	uint64_t started_ns; /* the worker; until it is known, the child */
	enum pfk__phase phase;
	int channel;
	int list_fd; /* it is to list its connections there; -1: nothing */
	uint64_t kill_asked, kill_answered; /* kill.h: tickets */
	struct pfk_io *io;
	struct pfk__pulse pulse;
	uint64_t hang_ns;   /* of the configuration that it booted with */
	unsigned receiving; /* leaving workers that send it connections; it is
			     * not ordered to leave before their end */
	int kept;           /* its connections that no heir has taken */
	int later;          /* of these, the protocols that are asked again */
	bool kept_logged;   /* the line that no worker has room for them */
	bool again_logged;  /* the line that they are offered again */
	bool retire_wanted; /* an order to leave waits for `receiving` == 0 */
	bool orphan;        /* another master has started it */
	bool leaver;        /* that master had ordered it to leave */
	bool refused;       /* takeover.h: it is not taken over */
	bool heard;  /* its messages are being read: pfk__hear_all frees it */
	int version; /* of its messages and its hand-over */
	struct pfk_timer *bound; /* kills it at the end of its time to leave */
	uint64_t leaving_ns;     /* when it was ordered to leave; 0: was not */
	unsigned outlived;       /* reloads that began after that */
	/* leaver.c: the time of the last order to it; and the looks at its
	 * descriptors. */
	uint64_t ordered_ns;
	struct pfk_timer *look;
	unsigned looks;
	bool queue_seen;
	ino_t channel_inode; /* of the worker's end; 0: not known */
	bool adopted;        /* it has, or had, listeners of other slots */
	uint64_t release_ns; /* when it was told to release some; 0: was not */
	bool channel_full;   /* a message found no room, and it does not read */
	int fail_status;     /* why its boot failed, by its own word */
	unsigned incarnation; /* workers that its keeper has cloned */
	int64_t deaths_told;  /* by the keeper; -1: an orphan's, not known */
	char fail_text[400];
	char cause[160]; /* why the master ends the worker, or "" */
};

struct pfk__place {
	struct pfk__slot slot;
	struct pfk__child *serving;
	struct pfk__child *booting;
	unsigned restarts; /* because its worker had died or left */
	/* adopt.c */
	struct pfk__child *adopter; /* the child that serves for it */
	struct pfk__stall stall;
	bool broken;  /* broken.c: one of its listeners may be broken */
	bool waiting; /* its queues were not empty at the last look */
	bool drained; /* by order, no worker is wanted: drain.c */
	bool late;    /* the last reload ended without it */
	bool held;    /* its worker starts when the trial has ended */
	bool killed;  /* a signal from outside killed its last worker */
	struct pfk__stats *past; /* history.h; NULL: nothing yet */
};

enum pfk__stop { PFK__STOP_NONE, PFK__STOP_GRACEFUL, PFK__STOP_FAST };

/* A reload: the first slot tries the new configuration for all. */
enum pfk__reload {
	PFK__RELOAD_SETTLED,
	PFK__RELOAD_PREPARING, /* in a child; the old configuration counts */
	PFK__RELOAD_TRYING,
	PFK__RELOAD_ROLLING
};

struct pfk__control_socket;

struct pfk__master {
	struct pfk_master_config config;
	struct pfk_master_config old_config; /* while TRYING */
	const struct pfk_hooks *hooks;
	void *arg;
	struct pfk_loop *loop;
	struct pfk__logger *logger;
	struct pfk__custody custody;
	struct pfk__pages pages; /* the children's areas */
	struct pfk__berths berths;
	LIST_HEAD(, pfk__child) children;
	struct pfk__place places[PFK_WORKERS_MAX];
	int places_top;  /* the first slot that was never used */
	int places_used; /* all slots from here on are EMPTY */
	uint64_t generation;
	uint64_t epoch;
	int spawn_error; /* errno of the last fork of a worker; 0: it started */
	int workers;     /* wanted now: the configuration's, TTIN and TTOU */
	bool started;    /* all were ready once */
	enum pfk__reload reload;
	uint64_t reload_ns; /* when the last reload began */
	bool resized; /* workers were ordered before the end of the trial */
	bool reload_wanted;
	bool drains_due;        /* a retire_wanted can be carried out */
	int rolling;            /* the slot that is being renewed */
	struct pfk_timer *late; /* bounds the trial, or the slot's renewal */
	enum pfk__stop stop;
	struct pfk_timer *stop_delay; /* a graceful stop begins at its end */
	uint64_t stop_bound_ns;       /* of that stop */
	bool terminated;              /* SIGTERM came: a later one is urgent */
	uint64_t terminated_ns;       /* when */
	int status;                   /* to exit with */
	bool awaiting;                /* orphans may knock: takeover.c */
	/* A stop ordered meanwhile waits for them. */
	enum pfk__stop stop_next;
	int stop_status;
	uint64_t stop_timeout_ns;
	uint64_t await_ns, awaited_ns; /* since when now, and at first */
	int taken_over;                /* orphans, as logged */
	bool has_refused;              /* one of them, as logged */
	struct pfk_timer *await;
	struct pfk__soon maintain;
	struct pfk_timer *tick;
	struct pfk_timer *kill;
	struct pfk_timer *sample;
	struct pfk_timer *surplus;
	struct pfk_timer *heirs; /* offers kept connections again */
	/* surplus.c: the handshakes of the first look, and the time by which all
	 * have ended. */
	struct pfk__handshakes handshakes;
	bool handshakes_known;
	uint64_t handshakes_end_ns;
	int steered; /* to the first N slots; 0: kernel hash */
	/* Since when the surplus is closed, and its adopters close theirs; 0: not. */
	uint64_t letting_go_ns;
	struct pfk_timer *watch; /* looks for workers that hang */
	uint64_t watched_ns;
	struct pfk__control_socket *control;
	struct pfk__deaths deaths;
	struct pfk__notify notify;
	struct pfk__store store;
	struct pfk__exporter exporter;
	struct pfk__trial trial;
	uint64_t reloads_before; /* of the programs that this one replaced */
	struct pfk__inherited inherited; /* standin: -1 once it is not needed */
};

/*
 * Compare the slots with the wishes and carry out the missing steps, once at
 * the end of this turn, however many events ask for it; or now.
 */
void pfk__master_wake(struct pfk__master *m);
void pfk__master_maintain(void *arg);

/* Step one slot by an event and carry the actions out; or in two steps. */
unsigned pfk__master_decide(struct pfk__master *m, int slot,
    enum pfk__slot_event event);
void pfk__master_act(struct pfk__master *m, int slot, unsigned todo);
void pfk__master_step(struct pfk__master *m, int slot,
    enum pfk__slot_event event);

/* check.c: abort unless the invariants of the master arg hold. */
void pfk__master_check(void *arg);

/* The boot of a worker failed: on the very first start, or in a reload. */
void pfk__master_boot_failed(struct pfk__master *m, const struct pfk__child *c);

/* Put address and configuration file into the process title. */
void pfk__master_title(const struct pfk__master *m);

/* Stop all with an exit status; timeout_ns 0: as long as it takes. */
void pfk__master_stop(struct pfk__master *m, enum pfk__stop how, int status,
    uint64_t timeout_ns);

/* children.c */
/* A child that another master has started; fd is its channel.  Or NULL. */
struct pfk__child *pfk__child_found(struct pfk__master *m, int slot,
    uint64_t generation, int fd);
/* It is none: forget it, and close its channel. */
void pfk__child_drop(struct pfk__child *c);
/* Its channel has ended: so has an orphan, which nobody else tells of. */
void pfk__child_orphan_ended(struct pfk__child *c);
int pfk__child_spawn(struct pfk__master *m, int slot);
/* c is ready: it serves its slot, with all that it has opened or kept. */
void pfk__child_promote(struct pfk__child *c);
void pfk__children_tell(struct pfk__master *m, struct pfk__message *msg,
    int pass);
void pfk__children_signal(struct pfk__master *m, int signo);
void pfk__children_reap(struct pfk__master *m);
/* identity.c */
/* Take it for the worker's pid; false: it cannot be. */
bool pfk__child_identify(struct pfk__child *c, pid_t pid);
/* The same for an orphan of that user, which names its keeper, or 0. */
bool pfk__child_claim(struct pfk__child *c, pid_t pid, pid_t keeper, uid_t uid);
void pfk__child_forget(struct pfk__child *c);
/* Whether the worker is known and has not ended. */
bool pfk__child_runs(const struct pfk__child *c);
/* The worker's pid, or its keeper's while it is not known. */
pid_t pfk__child_pid(const struct pfk__child *c);
/* Kill the worker that is there now: its keeper starts another one. */
void pfk__child_end_worker(struct pfk__child *c);
/* Signal the worker; SIGKILL is for good: no other one follows. */
void pfk__child_signal(struct pfk__child *c, int signo);

/* -1: it does not hear any more. */
int pfk__child_tell(struct pfk__child *c, struct pfk__message *msg, int pass);

/* retire.c */
/* c drains, or will once it has received the connections on their way to it. */
void pfk__child_retire(struct pfk__child *c);
void pfk__children_retire_deferred(struct pfk__master *m);
/* Repeat the orders that its worker's predecessor may not have carried out. */
void pfk__child_repeat(struct pfk__child *c);
/* Log the workers that were leaving before this reload began, or kill them. */
void pfk__children_count_reload(struct pfk__master *m);

/* Kill a worker that leaves and keeps a listener; false: it keeps none. */
bool pfk__retire_clinging(struct pfk__child *c);

/* leaver.c */
/* c was ordered to leave: look for the descriptors that it must not keep. */
void pfk__leaver_watch(struct pfk__child *c);
/* Which ones it keeps, or NULL. */
const char *pfk__leaver_keeps(struct pfk__child *c);
extern uint64_t pfk__leaver_look_ns; /* a test may change it */

/* hear.c */
/* The channel's callback; all that is queued there; and the channel's end. */
void pfk__hear_ready(void *arg, unsigned ready);
void pfk__hear_all(struct pfk__child *c);
void pfk__hear_no_more(struct pfk__child *c);

/* heirs.c */
/* Let c, which leaves, give its connections to its heirs. */
void pfk__heirs_offer(struct pfk__child *c);
/* c has still n connections after an offer: make another one before long. */
void pfk__heirs_kept(struct pfk__child *c, int n);
void pfk__heirs_later(struct pfk__child *c, int n);
/* Whether the worker can take a connection more, and comes to it. */
bool pfk__heirs_can_take(const struct pfk__child *c);

/* adopt.c */
/*
 * See to it that every slot's sockets are served, by its own worker or an
 * adopter.
 */
void pfk__adopt_maintain(struct pfk__master *m);
/* c adopts no longer. */
void pfk__adopt_forget(struct pfk__master *m, const struct pfk__child *c);
/* Nobody serves for the slot any more. */
void pfk__adopt_release(struct pfk__master *m, int slot);
/* Whether all that were told so have come to it. */
bool pfk__adopt_released(const struct pfk__master *m);
/*
 * Close the entries of given-up slots with addresses that no worker serves any
 * more.
 */
void pfk__adopt_prune(struct pfk__master *m);
/* The custody's: something is queued in the slot. */
void pfk__adopt_queued(void *arg, int slot);

/* drain.c: all slots are wanted again. */
void pfk__drains_end(struct pfk__master *m);

/* broken.c: look whether listeners of the slot are broken; and replace them. */
void pfk__broken_look(struct pfk__master *m, int slot);
void pfk__broken_maintain(struct pfk__master *m);
/* c, or one of its workers, has ended: restore the options of its sockets. */
void pfk__broken_reclaim(struct pfk__master *m, const struct pfk__child *c);

/* watch.c: look for workers that hang, from now on. */
void pfk__watch_start(struct pfk__master *m);

/* surplus.c: close the sockets of slots that are not wanted, in time. */
void pfk__surplus_maintain(struct pfk__master *m);
/* Whether some of it can never be closed, and only adoption is left to do. */
bool pfk__surplus_stays(const struct pfk__master *m);
/* Steer again, in case that somebody has changed it. */
void pfk__surplus_steer(struct pfk__master *m);

/* reload.c */
/* Replace all workers by ones with the configuration in force. */
void pfk__reload_roll(struct pfk__master *m);
/* For each: preparation, trial, slot of the roll; a test may change it. */
extern uint64_t pfk__reload_bound_ns;
void pfk__reload_begin(struct pfk__master *m);
/* The preparation has ended; why: the reload is refused, else NULL. */
void pfk__reload_prepared(struct pfk__master *m, const char *why);
/* The cause that a hook has given. */
void pfk__reload_refusal(char *dst, size_t size);
/*
 * The first slot's new worker did not come up: restore the old configuration.
 */
void pfk__reload_abandon(struct pfk__master *m, const char *why);
/* One more slot, or the end. */
void pfk__reload_continue(struct pfk__master *m);

#endif
