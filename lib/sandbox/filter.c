/*
 * filter.c: the system calls that a worker may make while it serves.
 *
 * Layer: sandbox.  seccomp(2), by libseccomp(3); without it, nothing is filtered.
 * A call that is denied is not made, and ends the process.  Few are refused with
 * an error, because the C library goes on without them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sandbox/sandbox.h"

#ifdef PFK_SECCOMP

#include <asm/ioctls.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/libseccomp.h"

/* The macros of seccomp.h leave a field out. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define WRITES \
	(O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))
#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

/* With any arguments. */
static const char *const plain[] = {
    /* descriptors that the worker has */
    "read", "readv", "pread64", "preadv", "preadv2", "write", "writev",
    "pwrite64", "pwritev", "pwritev2", "close", "lseek", "_llseek", "fstat",
    "fstat64", "newfstatat", "fstatat64", "statx", "ftruncate", "ftruncate64",
    "dup", "dup2", "dup3", "pipe", "pipe2", "splice", "tee", "vmsplice",
    "sendfile", "sendfile64", "memfd_create", "eventfd2", "timerfd_create",
    "timerfd_settime", "timerfd_gettime", "timerfd_settime64",
    "timerfd_gettime64",
    /* sockets */
    "accept", "accept4", "recv", "recvfrom", "recvmsg", "recvmmsg",
    "recvmmsg_time64", "send", "sendto", "sendmsg", "sendmmsg", "shutdown",
    "getsockname", "getpeername", "getsockopt", "connect",
    /* waiting */
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2",
    "poll", "ppoll", "ppoll_time64", "select", "_newselect", "pselect6",
    "pselect6_time64", "futex", "futex_time64", "nanosleep", "clock_nanosleep",
    "clock_nanosleep_time64", "restart_syscall", "sched_yield",
    /* memory */
    "brk", "munmap", "mremap", "madvise",
    /* signals */
    "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "sigreturn",
    "sigaltstack",
    /* children from before */
    "wait4", "waitid",
    /* questions */
    "clock_gettime", "clock_gettime64", "clock_getres", "clock_getres_time64",
    "gettimeofday", "time", "times", "getpid", "getppid", "gettid", "getuid",
    "getuid32", "geteuid", "geteuid32", "getgid", "getgid32", "getegid",
    "getegid32", "getrusage", "getrlimit", "ugetrlimit", "sched_getaffinity",
    "getcpu", "uname", "sysinfo", "getrandom",
    /* the end */
    "exit", "exit_group"};

/*
 * Without SO_PASSRIGHTS: a listener of AF_UNIX belongs to all workers, and each would
 * take descriptors again whose close waits.  Without SO_REUSEADDR: a connection that has
 * lost it keeps its port in TIME_WAIT, so that the service cannot be started again.
 */
static const int options[] = {SO_LINGER, SO_KEEPALIVE, SO_RCVBUF, SO_SNDBUF,
    SO_RCVLOWAT, SO_SNDLOWAT, SO_OOBINLINE, SO_PRIORITY, SO_RCVTIMEO,
    SO_SNDTIMEO, SO_BUSY_POLL, SO_ZEROCOPY, SO_TIMESTAMP, SO_TIMESTAMPNS,
    SO_TIMESTAMPING, SO_RXQ_OVFL, SO_MAX_PACING_RATE, SO_REUSEPORT, SO_PASSCRED,
    SO_DETACH_FILTER};

/*
 * The options of TCP up to 13 are allowed as a range, and these: none has a key of TCP_MD5SIG or
 * of TCP-AO, with which a listener drops all segments that are not signed.  Nobody
 * can tell that it has one, or take it away.
 */
static const int tcp_options[] = {15, 16, 17, 18, 20, 21, 22, 23, 24, 25, 26,
    27, 28, 29, 30, 31, 33, 34, 35, 36, 37, 43, 44, 45, 46};

static const int controls[] = {F_GETFL, F_GETFD, F_SETFD, F_DUPFD,
    F_DUPFD_CLOEXEC, F_GETPIPE_SZ, F_SETPIPE_SZ, F_ADD_SEALS, F_GET_SEALS};

/* With the name of an interface, for the address of a neighbour. */
static const int requests[] = {FIONREAD, SIOCOUTQ, SIOCOUTQNSD, SIOCATMARK,
    SIOCGIFNAME, TCGETS, TIOCGWINSZ};

static const int processes[] = {PR_SET_PDEATHSIG, PR_SET_NAME, PR_GET_NAME,
    PR_SET_TIMERSLACK, PR_GET_TIMERSLACK, PR_GET_DUMPABLE,
    0x53564d41 /* PR_SET_VMA */};

/* Add a rule for one call, unless the program has asked for all of the call. */
static void
rule(scmp_filter_ctx c, int *rc, uint32_t action, const char *name, unsigned n,
    struct scmp_arg_cmp a, struct scmp_arg_cmp b)
{
	const struct pfk__seccomp *lib = pfk__seccomp();
	int number = lib->resolve_name(name), one;

	/* This machine does not have the call. */
	if (number < 0 || *rc != 0)
		return;
	if (n > 0 && pfk__sandbox_asked(name))
		return;
	one = n == 0 ? lib->rule_add(c, action, number, 0)
	    : n == 1 ? lib->rule_add(c, action, number, 1, a)
		     : lib->rule_add(c, action, number, 2, a, b);
	/* One that the program has asked for and the list has, too. */
	if (one != 0 && one != -EEXIST)
		*rc = one;
}

static const struct scmp_arg_cmp none;

static void
allow(scmp_filter_ctx c, int *rc, const char *name)
{
	rule(c, rc, SCMP_ACT_ALLOW, name, 0, none, none);
}

static void
allow_if(scmp_filter_ctx c, int *rc, const char *name, struct scmp_arg_cmp a)
{
	rule(c, rc, SCMP_ACT_ALLOW, name, 1, a, none);
}

/* Where argument number `arg` is in the list. */
static void
allow_listed(scmp_filter_ctx c, int *rc, const char *name, unsigned arg,
    const int *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		allow_if(c, rc, name,
		    SCMP_CMP32(arg, SCMP_CMP_EQ, (uint32_t)list[i]));
}

/*
 * An attached filter steers or starves clients and outlives this process, and a
 * socket that blocks stops each process that it is passed to.
 */
static void
add_sockets(scmp_filter_ctx c, int *rc)
{
	allow_if(c, rc, "setsockopt", SCMP_CMP32(1, SCMP_CMP_EQ, IPPROTO_IP));
	allow_if(c, rc, "setsockopt", SCMP_CMP32(1, SCMP_CMP_GT, IPPROTO_TCP));
	rule(c, rc, SCMP_ACT_ALLOW, "setsockopt", 2,
	    SCMP_CMP32(1, SCMP_CMP_EQ, IPPROTO_TCP),
	    SCMP_CMP32(2, SCMP_CMP_LT, TCP_MD5SIG));
	for (size_t i = 0; i < LENGTH(tcp_options); i++)
		rule(c, rc, SCMP_ACT_ALLOW, "setsockopt", 2,
		    SCMP_CMP32(1, SCMP_CMP_EQ, IPPROTO_TCP),
		    SCMP_CMP32(2, SCMP_CMP_EQ, (uint32_t)tcp_options[i]));
	for (size_t i = 0; i < LENGTH(options); i++)
		rule(c, rc, SCMP_ACT_ALLOW, "setsockopt", 2,
		    SCMP_CMP32(1, SCMP_CMP_EQ, SOL_SOCKET),
		    SCMP_CMP32(2, SCMP_CMP_EQ, (uint32_t)options[i]));
	/* Each client socket has it. */
	if (pfk__sandbox_asked("socket"))
		rule(c, rc, SCMP_ACT_ALLOW, "setsockopt", 2,
		    SCMP_CMP32(1, SCMP_CMP_EQ, SOL_SOCKET),
		    SCMP_CMP32(2, SCMP_CMP_EQ, SO_REUSEADDR));
	/* To knock at the next master's, when this one has died. */
	allow_if(c, rc, "socket", SCMP_CMP32(0, SCMP_CMP_EQ, AF_UNIX));
	allow_if(c, rc, "socketpair", SCMP_CMP32(0, SCMP_CMP_EQ, AF_UNIX));
	allow_listed(c, rc, "fcntl", 1, controls, LENGTH(controls));
	rule(c, rc, SCMP_ACT_ALLOW, "fcntl", 2,
	    SCMP_CMP32(1, SCMP_CMP_EQ, F_SETFL),
	    SCMP_CMP32(2, SCMP_CMP_MASKED_EQ, O_NONBLOCK, O_NONBLOCK));
	allow_listed(c, rc, "fcntl64", 1, controls, LENGTH(controls));
	rule(c, rc, SCMP_ACT_ALLOW, "fcntl64", 2,
	    SCMP_CMP32(1, SCMP_CMP_EQ, F_SETFL),
	    SCMP_CMP32(2, SCMP_CMP_MASKED_EQ, O_NONBLOCK, O_NONBLOCK));
	allow_listed(c, rc, "ioctl", 1, requests, LENGTH(requests));
}

static void
add_process(scmp_filter_ctx c, int *rc)
{
	uint32_t self = (uint32_t)getpid();

	allow_if(c, rc, "mmap",
	    SCMP_CMP32(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	allow_if(c, rc, "mmap2",
	    SCMP_CMP32(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	allow_if(c, rc, "mprotect",
	    SCMP_CMP32(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	allow_if(c, rc, "kill", SCMP_CMP32(0, SCMP_CMP_EQ, self));
	allow_if(c, rc, "tgkill", SCMP_CMP32(0, SCMP_CMP_EQ, self));
	/* Violations stay fatal. */
	allow_if(c, rc, "rt_sigaction", SCMP_CMP32(0, SCMP_CMP_NE, SIGSYS));
	allow_listed(c, rc, "prctl", 0, processes, LENGTH(processes));
	rule(c, rc, SCMP_ACT_ALLOW, "prlimit64", 2,
	    SCMP_CMP32(0, SCMP_CMP_EQ, 0), SCMP_CMP64(2, SCMP_CMP_EQ, 0));
}

/* The C library looks for files that it does without. */
static void
add_refusals(scmp_filter_ctx c, int *rc)
{
	rule(c, rc, SCMP_ACT_ERRNO(EACCES), "openat", 1,
	    SCMP_CMP32(2, SCMP_CMP_MASKED_EQ, WRITES, 0), none);
	rule(c, rc, SCMP_ACT_ERRNO(EACCES), "open", 1,
	    SCMP_CMP32(1, SCMP_CMP_MASKED_EQ, WRITES, 0), none);
	if (!pfk__sandbox_asked("readlink"))
		rule(c, rc, SCMP_ACT_ERRNO(EACCES), "readlink", 0, none, none);
	if (!pfk__sandbox_asked("openat2"))
		rule(c, rc, SCMP_ACT_ERRNO(ENOSYS), "openat2", 0, none, none);
}

static scmp_filter_ctx
make(void)
{
	const struct pfk__seccomp *lib = pfk__seccomp();
	scmp_filter_ctx c = lib != NULL ? lib->init(SCMP_ACT_TRAP) : NULL;
	const char *call;
	int rc = 0;

	errno = ENOSYS;
	if (c == NULL)
		return NULL;
	for (size_t i = 0; i < LENGTH(plain); i++)
		allow(c, &rc, plain[i]);
	for (size_t i = 0; (call = pfk__sandbox_asked_at(i)) != NULL; i++)
		allow(c, &rc, call);
	add_sockets(c, &rc);
	add_process(c, &rc);
	add_refusals(c, &rc);
	/* Threads that worker_init has started are confined, too. */
	lib->attr_set(c, SCMP_FLTATR_CTL_TSYNC, 1);
	lib->attr_set(c, SCMP_FLTATR_CTL_NNP, 0);
	lib->attr_set(c, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* A tree instead of a chain; without it, it is slower. */
	lib->attr_set(c, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (rc == 0)
		return c;
	lib->release(c);
	errno = -rc;
	return NULL;
}

int
pfk__filter_load(void)
{
	scmp_filter_ctx c = make();
	int rc;

	if (c == NULL)
		return -1;
	rc = pfk__seccomp()->load(c);
	pfk__seccomp()->release(c);
	errno = -rc;
	return rc == 0 ? 0 : -1;
}

bool
pfk__filter_works(void)
{
	uint32_t action = SECCOMP_RET_TRAP;

	return pfk__seccomp() != NULL &&
	    syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

/* The calls of this machine, and those of the program. */
size_t
pfk__filter_size(void)
{
	static const char *const checked[] = {"setsockopt", "socket",
	    "socketpair", "fcntl", "fcntl64", "ioctl", "mmap", "mmap2",
	    "mprotect", "kill", "tgkill", "rt_sigaction", "prctl", "prlimit64"};
	const struct pfk__seccomp *lib = pfk__seccomp();
	const char *call;
	size_t n = 0;

	if (lib == NULL)
		return 0;
	for (size_t i = 0; i < LENGTH(plain); i++)
		n += lib->resolve_name(plain[i]) >= 0;
	for (size_t i = 0; i < LENGTH(checked); i++)
		n += lib->resolve_name(checked[i]) >= 0;
	for (size_t i = 0; (call = pfk__sandbox_asked_at(i)) != NULL; i++) {
		bool had = false;

		for (size_t k = 0; k < LENGTH(plain) && !had; k++)
			had = strcmp(plain[k], call) == 0;
		for (size_t k = 0; k < LENGTH(checked) && !had; k++)
			had = strcmp(checked[k], call) == 0;
		n += !had;
	}
	return n;
}

bool
pfk__filter_knows(const char *call)
{
	const struct pfk__seccomp *lib = pfk__seccomp();

	return lib == NULL || lib->resolve_name(call) != __NR_SCMP_ERROR;
}

void
pfk__filter_name(int number, char *buf, size_t size)
{
	char *name = pfk__seccomp()->resolve_num_arch(SCMP_ARCH_NATIVE, number);

	/* Not freed: it is asked once, before the end. */
	strlcpy(buf, name != NULL ? name : "without a name", size);
}

#else

int
pfk__filter_load(void)
{
	errno = ENOSYS;
	return -1;
}

bool
pfk__filter_works(void)
{
	return false;
}

size_t
pfk__filter_size(void)
{
	return 0;
}

bool
pfk__filter_knows(const char *call)
{
	return call[0] != '\0';
}

void
pfk__filter_name(int number, char *buf, size_t size)
{
	(void)number;
	strlcpy(buf, "without a name", size);
}

#endif
