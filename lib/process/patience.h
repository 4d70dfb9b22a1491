/*
 * patience.h: a worker waits for an address that is not free yet.
 *
 * On the first start only, and for a bounded time.  The master does not wait: it
 * goes by the worker's beat meanwhile.
 */
#ifndef PFK_PROCESS_PATIENCE_H
#define PFK_PROCESS_PATIENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pfk_listen;
struct pfk_worker;

/*
 * Wait a moment; false: there is nothing to wait for, or the time is over.
 * *deadline_ns is 0 before the first call of either, and set by it.
 */

/* An IPv6 address may be tentative at boot. */
bool pfk__wait_tentative(struct pfk_worker *w, const struct pfk_listen *want,
    uint64_t *deadline_ns);

/*
 * A worker of a master that has died may have hung while the new master waited for
 * knocks; its keeper kills it in time, and its successor knocks.  Then its listener is
 * in the custody of the master, but not in this worker's copy: *ours is set.
 */
bool pfk__wait_orphan(struct pfk_worker *w, const struct pfk_listen *want,
    uint64_t *deadline_ns, bool *ours);

/*
 * The cause and the cure, for a line that names the holder of an address: of a worker
 * of a master that has died, or of any other process.
 */
const char *pfk__orphan_cure(const struct pfk_worker *w, const char *holder,
    char *buf, size_t size);

#endif
