/*
 * calls.h: the system calls that no service can do without.
 */
#ifndef PFK_BASE_CALLS_H
#define PFK_BASE_CALLS_H

/*
 * The name of one that a sandbox around this process denies, with errno; or
 * NULL.  Without it the service would start, and then serve nobody.
 */
const char *pfk__calls_denied(void);

#endif
