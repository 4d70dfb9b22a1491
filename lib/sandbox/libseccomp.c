/*
 * libseccomp.c: open libseccomp(3).
 *
 * Layer: sandbox.  dlopen(3).
 */
#ifdef PFK_SECCOMP

#include "sandbox/libseccomp.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>

#define NAME "libseccomp.so.2"

static struct pfk__seccomp library;

/* A pointer to a function is none to an object in C, but in POSIX. */
static bool
find(void *handle, const char *name, void *function)
{
	void *at = dlsym(handle, name);

	memcpy(function, &at, sizeof(at));
	return at != NULL;
}

static bool
open_library(void)
{
	void *handle = dlopen(NAME, RTLD_NOW | RTLD_LOCAL);

	return handle != NULL && find(handle, "seccomp_init", &library.init) &&
	    find(handle, "seccomp_rule_add", &library.rule_add) &&
	    find(handle, "seccomp_attr_set", &library.attr_set) &&
	    find(handle, "seccomp_load", &library.load) &&
	    find(handle, "seccomp_release", &library.release) &&
	    find(handle, "seccomp_syscall_resolve_name",
		&library.resolve_name) &&
	    find(handle, "seccomp_syscall_resolve_num_arch",
		&library.resolve_num_arch);
}

const struct pfk__seccomp *
pfk__seccomp(void)
{
	static enum { UNKNOWN, HERE, MISSING } state;

	if (state == UNKNOWN)
		state = open_library() ? HERE : MISSING;
	return state == HERE ? &library : NULL;
}

#endif
