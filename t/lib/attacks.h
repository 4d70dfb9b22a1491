/*
 * attacks.h: a hostile worker does one of these, with all that a worker has.
 */
#ifndef ATTACKS_H
#define ATTACKS_H

#include <prefork.h>

#include "process/channel.h"

/* The slot of the hostile worker. */
#define HOSTILE_SLOT 1

struct attack {
	const char *name;
	void (*run)(void);
};

/* Each ends with an attack without a name. */
extern const struct attack message_attacks[], socket_attacks[],
    process_attacks[];

/* The attacker's objects; the test fills it in. */
struct attacker {
	struct pfk_worker *worker;
	struct pfk_server **server;
	int listener;
};
extern struct attacker attacker;

/* A message such as an honest worker sends; and send it, with fd or -1. */
struct pfk__message attack_message(uint32_t type);
void attack_say(const struct pfk__message *m, int fd);

#endif
