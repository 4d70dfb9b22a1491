/*
 * valgrind.c: whether this process runs under Valgrind.
 *
 * Layer: base.
 */
#include "base/valgrind.h"

#include <stdlib.h>
#include <string.h>

bool
pfk__under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload != NULL && strstr(preload, "vgpreload") != NULL;
}
