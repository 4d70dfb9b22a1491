/*
 * valgrind.h: whether this process runs under Valgrind.
 */
#ifndef PFK_BASE_VALGRIND_H
#define PFK_BASE_VALGRIND_H

#include <stdbool.h>

bool pfk__under_valgrind(void);

#endif
