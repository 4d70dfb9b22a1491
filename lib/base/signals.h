/*
 * signals.h: which signals may end a process of the service.
 */
#ifndef PFK_BASE_SIGNALS_H
#define PFK_BASE_SIGNALS_H

#include <signal.h>

/*
 * Ignore each signal that would end the process by default and that nobody
 * sends to end it: USR2, PIPE, ALRM, VTALRM, PROF, IO, PWR, STKFLT, XCPU, XFSZ
 * and the real-time ones.  A handler that the program has set stays.
 */
void pfk__signals_ignore_strays(void);

/* Block all signals but those of a crash; *old is the mask before, or NULL. */
void pfk__signals_block(sigset_t *old);

/* Take and drop the signals that are pending, then set the mask to *old. */
void pfk__signals_drop(const sigset_t *old);

/*
 * In a child that runs no loop: TERM, INT and QUIT end it, and the parent's
 * other handlers give way to nothing.
 */
void pfk__signals_forked(void);

#endif
