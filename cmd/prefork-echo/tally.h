/*
 * tally.h: how often a key has come within a second, in bounded memory.
 *
 * A key has one of the slots of its set, which it shares with others.  A key
 * that comes often keeps its slot: another key takes it only after as many
 * arrivals, or when the first one pauses.  So a key is counted too low where
 * many others come, and too high only by chance (1 in 2^30).
 */
#ifndef ECHO_TALLY_H
#define ECHO_TALLY_H

#include <prefork.h>

#define TALLY_SETS 256
#define TALLY_WAYS 4

struct tally_slot {
	uint32_t tag;
	uint32_t n;         /* arrivals in this second */
	uint32_t since_ms;  /* its begin */
	uint16_t gap, left; /* the caller's; 0 for a new key */
};

struct tally {
	struct tally_slot sets[TALLY_SETS][TALLY_WAYS];
};

/*
 * Count one arrival of the key and return its slot, or NULL where another key
 * keeps it.  gap and left become 0 again after a second in which the key came
 * at most `calm` times.
 */
struct tally_slot *tally_count(struct tally *t, uint64_t key, uint64_t now_ns,
    uint32_t calm);

#endif
