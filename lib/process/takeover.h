/*
 * takeover.h: workers that outlive their master find the next one.
 *
 * A worker is an orphan when its master has died: it goes on serving, and
 * knocks at the service's control socket until a master listens there
 * (orphan.c).  A master that finds the socket of a dead one waits a moment for
 * knocks before it starts workers (takeover.c).  Each orphan becomes the child
 * of its slot as if it had just booted: it lends its listeners and is READY.
 * When all slots serve, they are renewed as in a reload, and the orphans hand
 * their connections over.
 *
 * Sequence: the orphan connects, and sends a knock with one end of a new channel;
 * on the other end, which takes the old channel's number, follow LEND for each
 * of its listeners, and READY.  The master reads the channels in order of slots,
 * because steering goes by the order of opening.
 *
 * A worker that was leaving when its master died sends no more than the knock.  It
 * has no slot: the next master orders it to leave, and finds heirs for the
 * connections that it still has.
 *
 * Invariants:
 *  1. a knock counts if the kernel says that it comes from root, from the
 *     master's own user or from the user that its workers become;
 *  2. generations of orphans are below those that the master gives.
 */
#ifndef PFK_PROCESS_TAKEOVER_H
#define PFK_PROCESS_TAKEOVER_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include "process/master.h"

/*
 * Of the messages to the master (channel.h), and of those of a hand-over.  A worker
 * of a newer version lends its listeners, but keeps its connections, and drains.
 */
#ifndef PFK__KNOCK_VERSION
#define PFK__KNOCK_VERSION 3
#endif

/* The first byte is PFK__CONTROL_BINARY. */
struct pfk__knock {
	uint8_t first;
	uint8_t version;
	uint16_t message_bytes; /* of a channel's messages */
	int32_t slot; /* -1 - slot: it has left, and older masters refuse it */
	int32_t workers; /* of the service: the most that knock */
	int32_t keeper;  /* its pid; 0: it is dead */
	uint64_t generation;
};

static inline int
pfk__knock_slot(const struct pfk__knock *k)
{
	return k->slot < 0 ? -1 - k->slot : k->slot;
}

struct pfk_worker;

/* takeover.c: wait for orphans, if there may be any. */
void pfk__takeover_await(struct pfk__master *m);
/* While it waits: stop (pfk__master_stop) when that is over. */
void pfk__takeover_then_stop(struct pfk__master *m, enum pfk__stop how,
    int status, uint64_t timeout_ns);

/*
 * An orphan knocks: pid and uid are its own by SO_PEERCRED, and fd its channel,
 * which is the callee's.  NULL, or why it is refused.
 */
const char *pfk__takeover_knock(struct pfk__master *m,
    const struct pfk__knock *k, pid_t pid, uid_t uid, int fd);

/*
 * The channel of an orphan has ended.  True: not all of them had come yet, and its
 * keeper's next worker may knock before anything is started in its place.
 */
bool pfk__takeover_lost(struct pfk__child *c);

/*
 * A listener of an orphan that boots could not be kept: close its channel, so that it
 * serves on and knocks again.  Frees c.
 */
void pfk__takeover_refuse(struct pfk__child *c);

/* The start has failed: the orphans serve on, and wait for another master. */
void pfk__takeover_give_up(struct pfk__master *m);

/* orphan.c: the channel has ended.  False: this worker cannot go on. */
bool pfk__orphan_begin(struct pfk_worker *w);
void pfk__orphan_cancel(struct pfk_worker *w);
bool pfk__is_orphan(const struct pfk_worker *w);
/* In a successor: its predecessor may have died as it knocked. */
void pfk__orphan_resume(struct pfk_worker *w);
/* A new master gives orders: it has taken the worker over. */
void pfk__orphan_end(struct pfk_worker *w);

#endif
