/*
 * passed.h: descriptors that the service manager passes to this process at its
 * start: sd_listen_fds(3).  Their numbers are 3, 4, and so on.
 */
#ifndef PFK_BASE_PASSED_H
#define PFK_BASE_PASSED_H

#define PFK__PASSED_FIRST 3

/*
 * How many there are.  The first call takes the variables out of the environment,
 * so that no child believes them, and has exec(2) close the descriptors.
 */
int pfk__passed_count(void);

/* The names of all in order, with a colon between two of them, or NULL. */
const char *pfk__passed_names(void);

#endif
