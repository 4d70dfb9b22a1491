/*
 * verdict.h: the owner of a connection that goes from one process to another,
 * when one of the two is killed meanwhile.
 *
 * The giver sends packets, each with one connection, and numbers them from 0 on;
 * the taker answers each by a verdict.  Both note in their ledgers the
 * facts that a successor needs to come to the same result
 * (lib/transport/handover.h).
 *
 * Invariants:
 *  1. a connection is the taker's from the store of its ledger's verdict_to on,
 *     which precedes the sending of the verdict TAKEN;
 *  2. it is the giver's until then; from the sending of its packet on the giver's
 *     record has the packet's number.
 */
#ifndef PFK_EVENT_VERDICT_H
#define PFK_EVENT_VERDICT_H

#include <stdint.h>

struct pfk__ledger;

/* FULL: not now, and not by this taker. */
enum pfk__answer { PFK__ANSWER_REFUSED, PFK__ANSWER_TAKEN, PFK__ANSWER_FULL };

/* One that comes again is ignored. */
union pfk__reply {
	struct {
		uint32_t number; /* of the packet */
		uint32_t answer;
	};
	uint64_t word;
};

/*
 * In a successor, while the predecessor's channels are open: send the verdict
 * that may not have been sent, and find out which connections were taken.
 */
void pfk__verdicts_settle(struct pfk__ledger *g);

#endif
