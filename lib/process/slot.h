/*
 * slot.h: the life of a worker's slot, as a pure function.
 *
 * A slot is a worker's identity; processes come and go in it.  At most one
 * serves and at most one boots.  Nothing here makes a system call: the time and
 * a random number are arguments, and the actions are returned.
 *
 *   EMPTY --want--> STARTING --ready--> SERVING --renew--> REPLACING
 *                     |  ^                 |                 |
 *                     died`--due-- BACKOFF <--died           `-ready-> SERVING
 */
#ifndef PFK_PROCESS_SLOT_H
#define PFK_PROCESS_SLOT_H

#include <stdbool.h>
#include <stdint.h>

enum pfk__slot_state {
	PFK__SLOT_EMPTY,     /* no process, and none is wanted */
	PFK__SLOT_STARTING,  /* a process boots */
	PFK__SLOT_SERVING,   /* a process serves */
	PFK__SLOT_REPLACING, /* a process serves, and its successor boots */
	PFK__SLOT_BACKOFF    /* no process; the next one starts at retry_ns */
};

enum pfk__slot_event {
	PFK__SLOT_WANT,  /* a process is wanted */
	PFK__SLOT_FOUND, /* an orphan has knocked, and boots here: takeover.h */
	PFK__SLOT_UNWANT, /* no process is wanted any more */
	PFK__SLOT_RENEW,  /* a new process shall serve */
	PFK__SLOT_KEEP,   /* give up renewing: the serving process stays */
	PFK__SLOT_READY,  /* the booting process is ready */
	PFK__SLOT_DIED_BOOTING,
	PFK__SLOT_DIED_SERVING,
	PFK__SLOT_LEFT, /* a signal from outside ends the serving process */
	PFK__SLOT_TICK  /* time has passed */
};

/* The actions for the master; a set. */
#define PFK__DO_SPAWN 1u        /* start a process */
#define PFK__DO_RETIRE 2u       /* the process that served so far leaves */
#define PFK__DO_KILL_BOOTING 4u /* stop the booting process */
#define PFK__DO_PROMOTE 8u      /* the booting process serves from now on */

struct pfk__slot {
	enum pfk__slot_state state;
	bool renew;        /* the serving process is out of date */
	bool left;         /* because a signal from outside ends it */
	unsigned failures; /* deaths without a while of service between */
	uint64_t ready_ns; /* when the serving process became ready */
	uint64_t retry_ns; /* BACKOFF, or a failed renewal: the next start */
};

/* From this many failures on, a slot counts as crash-looping. */
#define PFK__SLOT_HOPELESS 10

unsigned pfk__slot_step(struct pfk__slot *s, enum pfk__slot_event event,
    uint64_t now_ns, uint32_t random);

/* Abort unless the state makes sense. */
void pfk__slot_check(const struct pfk__slot *s);

/* When the slot next wants a TICK; false: never. */
bool pfk__slot_due(const struct pfk__slot *s, uint64_t *at_ns);

#endif
