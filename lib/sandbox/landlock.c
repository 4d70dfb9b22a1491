/*
 * landlock.c: no file, no port and no signal, by Landlock as far as the kernel has it.
 *
 * Layer: sandbox.  landlock(7).  The structures and numbers stand here, because
 * those of the system's headers may be older than its kernel.
 */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/sandbox.h"

#define CREATE_RULESET 444
#define RESTRICT_SELF 446
#define ASK_VERSION 1U

#define VERSION_REFER 2
#define VERSION_TRUNCATE 3
#define VERSION_PORTS 4
#define VERSION_IOCTL 5
#define VERSION_SCOPE 6

/* The rights on files of the first version: execute to make_sym. */
#define FILES_FIRST ((1ULL << 13) - 1)
#define FILES_REFER (1ULL << 13)
#define FILES_TRUNCATE (1ULL << 14)
#define FILES_IOCTL (1ULL << 15)
#define PORTS_ALL 3ULL /* bind and connect, of TCP */
#define SCOPE_ABSTRACT 1ULL
#define SCOPE_SIGNAL 2ULL

struct ruleset {
	uint64_t files;
	uint64_t ports;  /* from version 4 on */
	uint64_t scoped; /* from version 6 on */
};

int
pfk__landlock_version(void)
{
	long version = syscall(CREATE_RULESET, NULL, 0, ASK_VERSION);

	return version > 0 ? (int)version : 0;
}

static bool
opens_files(void)
{
	return pfk__sandbox_asked("openat") || pfk__sandbox_asked("open") ||
	    pfk__sandbox_asked("openat2") || pfk__sandbox_asked("execve");
}

static bool
signals_others(void)
{
	return pfk__sandbox_asked("kill") || pfk__sandbox_asked("tgkill") ||
	    pfk__sandbox_asked("pidfd_send_signal");
}

/* Of a call that the program has asked for, Landlock denies nothing. */
static struct ruleset
choose(int version)
{
	struct ruleset r = {0};

	if (!opens_files())
		r.files = FILES_FIRST |
		    (version >= VERSION_REFER ? FILES_REFER : 0) |
		    (version >= VERSION_TRUNCATE ? FILES_TRUNCATE : 0) |
		    (version >= VERSION_IOCTL ? FILES_IOCTL : 0);
	if (version >= VERSION_PORTS && !pfk__sandbox_asked("socket"))
		r.ports = PORTS_ALL;
	if (version >= VERSION_SCOPE)
		r.scoped = (pfk__sandbox_asked("socket") ? 0 : SCOPE_ABSTRACT) |
		    (signals_others() ? 0 : SCOPE_SIGNAL);
	return r;
}

unsigned
pfk__landlock_parts(int version)
{
	struct ruleset r = choose(version);

	if (version == 0)
		return 0;
	/* Asked to be left out, it does not count as missing. */
	return PFK__SANDBOX_FILES | (r.ports != 0 ? PFK__SANDBOX_PORTS : 0) |
	    ((r.scoped & SCOPE_SIGNAL) != 0 ? PFK__SANDBOX_SIGNALS : 0);
}

static size_t
size_of(int version)
{
	if (version >= VERSION_SCOPE)
		return sizeof(struct ruleset);
	return version >= VERSION_PORTS ? offsetof(struct ruleset, scoped)
					: offsetof(struct ruleset, ports);
}

int
pfk__landlock_enter(void)
{
	int version = pfk__landlock_version(), fd, rc, saved_errno;
	struct ruleset r = choose(version);

	if (version == 0) {
		errno = ENOSYS;
		return -1;
	}
	if (r.files == 0 && r.ports == 0 && r.scoped == 0)
		return 0;
	fd = (int)syscall(CREATE_RULESET, &r, size_of(version), 0);
	if (fd == -1)
		return -1;
	rc = (int)syscall(RESTRICT_SELF, fd, 0);
	saved_errno = errno;
	close(fd);
	errno = saved_errno;
	return rc;
}
