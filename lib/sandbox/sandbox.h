/*
 * sandbox.h: take the rights from a worker that it does not need to serve.
 *
 * A worker enters when its sockets are open, and nothing lets it out.  Three
 * layers confine it, of which each is enough against many attacks: it has no
 * capability, the kernel takes the system calls of a list only (seccomp), and it
 * opens no file, takes no port and signals nobody (Landlock).  This module does
 * not decide when a worker enters, and does not know workers.
 */
#ifndef PFK_SANDBOX_SANDBOX_H
#define PFK_SANDBOX_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The parts; PFK__SANDBOX_ALL is each that a worker needs to be confined. */
#define PFK__SANDBOX_CAPABILITIES 1U
#define PFK__SANDBOX_CALLS 2U
#define PFK__SANDBOX_FILES 4U
#define PFK__SANDBOX_ALL 7U
/* Of newer kernels; the list of calls has the same effect without them. */
#define PFK__SANDBOX_PORTS 8U
#define PFK__SANDBOX_SIGNALS 16U

/*
 * Whether this process can have a sandbox at all; if not, *why is the cause.
 * Sanitizers, coverage and Valgrind make calls of their own at any time.
 */
bool pfk__sandbox_possible(const char **why);

/* The parts that this build and this kernel have. */
unsigned pfk__sandbox_offer(void);

/* "no capability, 80 system calls, no file", and the missing ones. */
void pfk__sandbox_describe(unsigned parts, char *buf, size_t size);
void pfk__sandbox_describe_missing(unsigned parts, char *buf, size_t size);

/*
 * Enter with as many parts as possible, for good.  Returns the parts.  A system
 * call that is not in the list raises SIGSYS, which logs it and ends the process.
 */
unsigned pfk__sandbox_enter(void);

/* Whether this process has entered, and may not make this call. */
bool pfk__sandbox_denies(const char *call);

/* allowed.c: the calls that the program has asked for. */
bool pfk__sandbox_asked(const char *call);
const char *pfk__sandbox_asked_at(size_t i); /* NULL: no more */

/* capabilities.c: keep those of the mask alone; -1 with errno. */
int pfk__capabilities_keep(uint64_t mask);

/* filter.c: -1 with errno, ENOSYS where the build lacks libseccomp. */
int pfk__filter_load(void);
bool pfk__filter_works(void);
size_t pfk__filter_size(void); /* calls of the list, or 0 */
bool pfk__filter_knows(const char *call);
/* The call's name in buf. */
void pfk__filter_name(int number, char *buf, size_t size);

/* landlock.c: the kernel's version, 0: none; and the parts that it gives. */
int pfk__landlock_version(void);
unsigned pfk__landlock_parts(int version);
int pfk__landlock_enter(void);

/* violation.c: log a denied call, before it ends this process. */
void pfk__violation_catch(void);

#endif
