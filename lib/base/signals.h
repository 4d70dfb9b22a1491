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

/*
 * In a worker: catch the signals of no effect (the strays and the commands to a
 * master) from now on, because a program that the worker executes would inherit
 * an ignored signal; but TTIN and TTOU are ignored, as are the two real-time
 * signals that the C library keeps.
 */
void pfk__signals_catch(void);

/* Block all signals but those of a crash; *old is the mask before, or NULL. */
void pfk__signals_block(sigset_t *old);

/*
 * Before an exec(2), with all signals blocked: undo pfk__signals_ignore_strays,
 * so that the next program starts with the dispositions that this one got.
 */
void pfk__signals_restore(void);

/* Let all signals come. */
void pfk__signals_allow(void);

/* Take and drop the signals that are pending, then set the mask to *old. */
void pfk__signals_drop(const sigset_t *old);

/* -1 with errno: this process may not call sigtimedwait(2). */
int pfk__signals_may_wait(void);

/*
 * In a child that runs no loop: TERM, INT and QUIT end it, and the parent's
 * other handlers give way to nothing.
 */
void pfk__signals_forked(void);

#endif
