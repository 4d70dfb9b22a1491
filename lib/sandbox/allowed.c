/*
 * allowed.c: the system calls that the program's protocols need.
 *
 * Layer: sandbox.
 */
#include <errno.h>
#include <prefork.h>
#include <string.h>

#include "sandbox/sandbox.h"

#define CALLS_MAX 64
#define NAME_SIZE 32

static char calls[CALLS_MAX][NAME_SIZE];
static size_t n_calls;

const char *
pfk__sandbox_asked_at(size_t i)
{
	return i < n_calls ? calls[i] : NULL;
}

bool
pfk__sandbox_asked(const char *call)
{
	for (size_t i = 0; i < n_calls; i++) {
		if (strcmp(calls[i], call) == 0)
			return true;
	}
	return false;
}

int
pfk_sandbox_allow(const char *call)
{
	if (pfk__sandbox_asked(call))
		return 0;
	if (pfk__sandbox_denies(call))
		errno = EPERM;
	else if (!pfk__filter_knows(call))
		errno = EINVAL;
	else if (n_calls == CALLS_MAX ||
	    strlcpy(calls[n_calls], call, NAME_SIZE) >= NAME_SIZE)
		errno = ENOSPC;
	else
		return n_calls++, 0;
	return -1;
}
