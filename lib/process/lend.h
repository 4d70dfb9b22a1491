/*
 * lend.h: check that a lent listener is as the worker's message describes it.
 */
#ifndef PFK_PROCESS_LEND_H
#define PFK_PROCESS_LEND_H

#include "process/channel.h"
#include "process/custody.h"

/* A slot's listeners: more than any worker has a use for. */
#define PFK__LEND_MAX 4096

/*
 * Judge a PFK__MSG_LEND and its descriptor by the kernel's word, before they go
 * into custody.  NULL, or the fault, as the object of "sent".
 */
const char *pfk__lend_check(const struct pfk__custody *c,
    const struct pfk__message *m, int fd);

#endif
