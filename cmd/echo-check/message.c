/*
 * message.c: a message that proves itself.
 *
 * Flow and number, then words that follow from both, so that no two messages
 * have a stretch in common.
 */
#include "message.h"

#include <string.h>

#define MAGIC UINT32_C(0x70666b63)

struct head {
	uint32_t magic;
	uint32_t flow;
	uint64_t number;
};

/* splitmix64: every word depends on flow, number and place. */
static uint64_t
word(const struct head *h, uint64_t place)
{
	uint64_t z = h->number * UINT64_C(0x9e3779b97f4a7c15) + h->flow +
	    place * UINT64_C(0xd1342543de82ef95);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void
message_make(void *buf, size_t size, uint32_t flow, uint64_t number)
{
	struct head h = {MAGIC, flow, number};
	unsigned char *p = buf;

	memcpy(p, &h, sizeof(h));
	for (size_t at = sizeof(h), n; at < size; at += n) {
		uint64_t w = word(&h, at);

		n = size - at < sizeof(w) ? size - at : sizeof(w);
		memcpy(p + at, &w, n);
	}
}

bool
message_check(const void *buf, size_t len, uint32_t flow, uint64_t *number)
{
	const unsigned char *p = buf;
	struct head h;

	*number = MESSAGE_UNKNOWN;
	if (len < sizeof(h))
		return false;
	memcpy(&h, p, sizeof(h));
	if (h.magic != MAGIC || h.flow != flow)
		return false;
	*number = h.number;
	for (size_t at = sizeof(h), n; at < len; at += n) {
		uint64_t w = word(&h, at);

		n = len - at < sizeof(w) ? len - at : sizeof(w);
		if (memcmp(p + at, &w, n) != 0)
			return false;
	}
	return true;
}
