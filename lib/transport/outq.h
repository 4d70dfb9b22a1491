/*
 * outq.h: the unsent bytes of one connection, in chunks of the ledger.
 *
 * A byte's position is its place in the connection's output, counted from 0
 * at the first byte.  The queue begins at the position up to which the socket
 * has taken the output; so a successor finds the first unsent byte by asking
 * the kernel.
 *
 * Invariants:
 *  1. first == -1 while len == 0;
 *  2. the chunks from first to last hold positions pos to pos + len - 1
 *     without a gap but for buffers of the program's (owned.h), the first of
 *     them perhaps some before.
 */
#ifndef PFK_TRANSPORT_OUTQ_H
#define PFK_TRANSPORT_OUTQ_H

#include <sys/types.h>

#include <sys/uio.h>

#include "event/ledger.h"

struct pfk__outq {
	int first, last; /* chunks, or -1 */
	uint64_t pos;
	size_t len;
};

void pfk__outq_init(struct pfk__outq *q);

/*
 * Queue a copy of len bytes of the connection at fd, registered with the
 * generation.  An empty queue begins at pos; another one ignores it.  -1 with
 * ENOMEM and nothing changed.
 */
int pfk__outq_append(struct pfk__outq *q, struct pfk__ledger *g, int fd,
    uint64_t pos, const void *buf, size_t len);

/*
 * Queue bytes from the descriptor `from`, as many as one read(2) brings and one
 * chunk holds.  As read(2); ENOMEM: there is no room.
 */
ssize_t pfk__outq_read(struct pfk__outq *q, struct pfk__ledger *g, int fd,
    uint64_t pos, int from);

/*
 * n bytes more than it said are in the last chunk: a predecessor died in
 * pfk__outq_read.  False: they cannot be.
 */
bool pfk__outq_extend(struct pfk__outq *q, struct pfk__ledger *g, size_t n);

/* Drop all but the first n bytes. */
void pfk__outq_cut(struct pfk__outq *q, struct pfk__ledger *g, size_t n);

/* Drop the first n bytes, n <= len. */
void pfk__outq_consume(struct pfk__outq *q, struct pfk__ledger *g, size_t n);

/* Describe the first bytes by at most max vectors; returns their number. */
int pfk__outq_vectors(const struct pfk__outq *q, const struct pfk__ledger *g,
    struct iovec *iov, int max);

/*
 * Append chunk i, which a predecessor has filled: the queue then holds len
 * bytes from pos on.
 */
void pfk__outq_adopt(struct pfk__outq *q, struct pfk__ledger *g, int i,
    uint64_t pos, size_t len);

void pfk__outq_clear(struct pfk__outq *q, struct pfk__ledger *g);

#endif
