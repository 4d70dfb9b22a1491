/*
 * message.h: a message that proves its flow, its number, and that it is whole.
 */
#ifndef CHECK_MESSAGE_H
#define CHECK_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The flow's and the message's number stand in front. */
#define MESSAGE_MIN 16
#define MESSAGE_MAX 1048576

/* size >= MESSAGE_MIN. */
void message_make(void *buf, size_t size, uint32_t flow, uint64_t number);

#define MESSAGE_UNKNOWN UINT64_MAX

/*
 * Whether it is a message of the flow, unchanged.  A short one is unchanged as
 * far as it goes.  *number is the number in it, even if it is changed;
 * MESSAGE_UNKNOWN where it is too short for one.
 */
bool message_check(const void *buf, size_t len, uint32_t flow,
    uint64_t *number);

#endif
