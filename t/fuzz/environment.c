/*
 * environment.c: the variable by which a program gets the descriptors of the one
 * that it replaces.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/inherit.h"
#include "fuzz.h"

/* After the pid, without which a program believes nothing. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[512];
	int fds[PFK__INHERITED_MAX];
	struct pfk__inherited i;
	int n = snprintf(text, sizeof(text), "%d:", (int)getpid());

	if (size >= sizeof(text) - (size_t)n)
		return 0;
	memcpy(text + n, data, size);
	text[(size_t)n + size] = '\0';
	setenv("PREFORK_UPGRADE", text, 1);
	if (pfk__inherited(&i) &&
	    (i.lock <= STDERR_FILENO || i.control <= STDERR_FILENO ||
		pfk__inherited_fds(fds) < 2))
		abort();
	pfk__inherit_forget();
	unsetenv("PREFORK_UPGRADE");
	return 0;
}
