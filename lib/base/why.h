/*
 * why.h: errno in words that name the limit to raise.
 */
#ifndef PFK_BASE_WHY_H
#define PFK_BASE_WHY_H

/* For fork(2) and other calls that take a process, a descriptor or memory. */
const char *pfk__why(int error);

#endif
