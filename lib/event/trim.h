/*
 * trim.h: give memory back after many descriptors have left.
 */
#ifndef PFK_EVENT_TRIM_H
#define PFK_EVENT_TRIM_H

#include <stdint.h>

struct pfk_loop;

/*
 * Once a turn: where a quarter or less of many descriptors is left, and that
 * has been so for a second, return free memory to the system.
 */
void pfk__trim_turn(struct pfk_loop *l);

#endif
