/*
 * packet.h: a connection on its way from one process to another.
 *
 * The header, the protocol's state, the unsent bytes, and the received bytes that
 * are not consumed; with the connection's descriptor, and that of a file that has all
 * but the header if these are many.
 */
#ifndef PFK_TRANSPORT_PACKET_H
#define PFK_TRANSPORT_PACKET_H

#include <assert.h>
#include <prefork.h>
#include <sys/socket.h>

#include "event/ledger.h"
#include "event/verdict.h"
#include "transport/tcp.h"

#define PFK__PACKET_STATE 1048576
#define PFK__UNSENT_MAX 2097152
#define PFK__LEFT_MAX (PFK_RECEIVE_MAX + PFK__READ_BYTES)
#define PFK__PACKETS_A_TURN 64

struct pfk__packet_header {
	struct pfk_addr local; /* the listener's, which names the server */
	struct pfk_addr peer;
	uint64_t idle_ns;  /* since its last activity */
	uint64_t since_ns; /* of its accept(2) */
	uint32_t low, high;
	uint32_t state_len, unsent_len;
	uint8_t paused, told_pause;
	uint8_t eof_received, eof_wanted, eof_sent;
	uint8_t apart; /* state, unsent and unconsumed bytes are in a file */
	/* Since version 3: the input, as in struct pfk__input. */
	uint8_t mode, last;
	uint32_t want, left_len;
};

/* The header's size up to version 2 of the messages (lib/process/takeover.h). */
#define PFK__HEADER_V2 offsetof(struct pfk__packet_header, want)

#define PFK__PACKET_MAX \
	(sizeof(struct pfk__packet_header) + PFK__PACKET_STATE + \
	    PFK__UNSENT_MAX + PFK__LEFT_MAX)

static_assert(PFK__PACKET_MAX <= PFK__SCRATCH_BYTES, "no room");

union pfk__packet_control {
	char buf[CMSG_SPACE(2 * sizeof(int))];
	struct cmsghdr align;
};

#endif
