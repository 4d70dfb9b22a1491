/*
 * sandbox.c: enter the sandbox, and put into words how far it confines.
 *
 * Layer: sandbox.
 */
#include "sandbox/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/received.h"
#include "base/valgrind.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

static bool entered;

bool
pfk__sandbox_possible(const char **why)
{
	if (SANITIZED)
		*why = "this build has sanitizers, which need more calls";
	else if (pfk__under_valgrind())
		*why = "Valgrind needs more calls";
	else
		return true;
	return false;
}

unsigned
pfk__sandbox_offer(void)
{
	return PFK__SANDBOX_CAPABILITIES |
	    (pfk__filter_works() ? PFK__SANDBOX_CALLS : 0) |
	    pfk__landlock_parts(pfk__landlock_version());
}

static void
add(char *buf, size_t size, const char *text)
{
	if (buf[0] != '\0')
		strlcat(buf, ", ", size);
	strlcat(buf, text, size);
}

void
pfk__sandbox_describe(unsigned parts, char *buf, size_t size)
{
	char calls[32];

	buf[0] = '\0';
	if ((parts & PFK__SANDBOX_CAPABILITIES) != 0)
		add(buf, size, "no capability");
	snprintf(calls, sizeof(calls), "%zu system calls", pfk__filter_size());
	if ((parts & PFK__SANDBOX_CALLS) != 0)
		add(buf, size, calls);
	if ((parts & PFK__SANDBOX_FILES) != 0)
		add(buf, size, "no file");
	if ((parts & PFK__SANDBOX_PORTS) != 0)
		add(buf, size, "no port or TCP connection of its own");
	if ((parts & PFK__SANDBOX_SIGNALS) != 0)
		add(buf, size, "no signal to others");
}

void
pfk__sandbox_describe_missing(unsigned parts, char *buf, size_t size)
{
	buf[0] = '\0';
	if ((parts & PFK__SANDBOX_CAPABILITIES) == 0)
		add(buf, size, "capabilities could not be given up");
	if ((parts & PFK__SANDBOX_CALLS) == 0)
		add(buf, size,
		    pfk__filter_size() == 0
			? "libseccomp is not installed, or this build "
			  "lacks it"
			: "the kernel lacks seccomp, or refuses it");
	if ((parts & PFK__SANDBOX_FILES) == 0)
		add(buf, size, "the kernel lacks Landlock, or refuses it");
}

unsigned
pfk__sandbox_enter(void)
{
	unsigned parts = 0;

	/* These open a file at their first use. */
	tzset();
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (pfk__capabilities_keep(0) == 0)
		parts |= PFK__SANDBOX_CAPABILITIES;
	if (pfk__landlock_enter() == 0)
		parts |= pfk__landlock_parts(pfk__landlock_version());
	pfk__violation_catch();
	if (pfk__filter_load() == 0) {
		parts |= PFK__SANDBOX_CALLS;
		entered = true;
		pfk__receive_fixed();
	}
	return parts;
}

bool
pfk__sandbox_denies(const char *call)
{
	return entered && !pfk__sandbox_asked(call);
}
