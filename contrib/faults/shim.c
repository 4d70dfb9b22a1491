/*
 * shim.c: calls of the C library fail by order, for `faults`.
 *
 * It is preloaded.  The file FAULTS_FILE is mapped before main, and shared by all
 * processes of a service, also by those that are confined or cloned.  The test
 * writes an order into it and reads from it which call sites there are: a call
 * and the address in the program that it returns to.  Calls from other libraries
 * are left alone.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <link.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define SITES 8192
#define CALL_SIZE 24

/* Its address in the program, and its call: "recv", "fcntl.1030". */
struct site {
	uint64_t at;
	char call[CALL_SIZE];
	uint32_t phases; /* a bit for each phase in which it was met */
	uint32_t count;  /* in all phases */
};

/* faults packs the order by these offsets. */
struct shared {
	uint32_t phase; /*  0: now */
	uint32_t armed; /*  4 */
	uint64_t at;    /*  8: the site that fails */
	uint32_t nth;   /* 16: at this of its calls since it was armed */
	int32_t error;  /* 20 */
	uint32_t seen;  /* 24: its calls since then */
	uint32_t hits;  /* 28: how often it has failed */
	uint32_t pad[8];
	struct site sites[SITES]; /* 64 */
};

static struct shared *shared;
static uintptr_t begin, end; /* of the program */

static int
on_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	begin = info->dlpi_addr;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && p->p_vaddr + p->p_memsz > end)
			end = p->p_vaddr + p->p_memsz;
	}
	/* The first object is the program. */
	return 1;
}

__attribute__((constructor)) static void
begin_to_fail(void)
{
	const char *path = getenv("FAULTS_FILE");
	void *map;
	int fd;

	dl_iterate_phdr(on_object, NULL);
	end += begin;
	fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd == -1)
		return;
	map = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED,
	    fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		shared = map;
}

static struct site *
site_of(uint64_t at, const char *call, long number)
{
	for (unsigned i = 0; i < SITES; i++) {
		struct site *s = &shared->sites[(at + i) % SITES];
		uint64_t none = 0;

		if (s->at == 0 &&
		    __atomic_compare_exchange_n(&s->at, &none, at, false,
			__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
			snprintf(s->call, sizeof(s->call),
			    number >= 0 ? "%s.%ld" : "%s", call, number);
			return s;
		}
		if (s->at == at)
			return s;
	}
	return NULL;
}

/* Whether the call fails; number tells the kinds of one call apart, or is -1. */
static bool
fails(const char *call, long number, void *back)
{
	uintptr_t to = (uintptr_t)back;
	struct site *s;

	if (shared == NULL || to < begin || to >= end)
		return false;
	s = site_of(to - begin, call, number);
	if (s == NULL)
		return false;
	__atomic_fetch_or(&s->phases, 1u << shared->phase, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&s->count, 1, __ATOMIC_SEQ_CST);
	if (!shared->armed || shared->at != s->at ||
	    __atomic_add_fetch(&shared->seen, 1, __ATOMIC_SEQ_CST) !=
		shared->nth)
		return false;
	__atomic_add_fetch(&shared->hits, 1, __ATOMIC_SEQ_CST);
	errno = shared->error;
	return true;
}

#define BACK __builtin_return_address(0)

/* memory: the library's own entries need no dlsym, which allocates */

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

void *
malloc(size_t size)
{
	return fails("malloc", -1, BACK) ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	return fails("calloc", -1, BACK) ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *old, size_t size)
{
	return fails("realloc", -1, BACK) ? NULL : __libc_realloc(old, size);
}

/* The call that stands behind this one. */
#define REAL(name) \
	static __typeof__(&(name)) real; \
	if (real == NULL) \
	real = (__typeof__(&(name)))dlsym(RTLD_NEXT, #name)

#define WRAP(type, name, failed, parameters, arguments) \
	type name parameters \
	{ \
		REAL(name); \
		return fails(#name, -1, BACK) ? (type)(failed) \
					      : real arguments; \
	}

/* The same, and the kinds of `kind` are calls of their own. */
#define WRAP_KINDS(type, name, kind, failed, parameters, arguments) \
	type name parameters \
	{ \
		REAL(name); \
		return fails(#name, (long)(kind), BACK) ? (type)(failed) \
							: real arguments; \
	}

WRAP(void *, reallocarray, NULL, (void *p, size_t n, size_t size), (p, n, size))
WRAP(char *, strdup, NULL, (const char *s), (s))
WRAP(char *, strndup, NULL, (const char *s, size_t n), (s, n))
WRAP(FILE *, fopen, NULL, (const char *path, const char *mode), (path, mode))
WRAP(FILE *, fdopen, NULL, (int fd, const char *mode), (fd, mode))
WRAP(FILE *, open_memstream, NULL, (char **at, size_t *len), (at, len))
WRAP(int, fflush, EOF, (FILE * f), (f))

WRAP(int, socket, -1, (int family, int type, int protocol),
    (family, type, protocol))
WRAP(int, socketpair, -1, (int family, int type, int protocol, int fds[2]),
    (family, type, protocol, fds))
WRAP(int, bind, -1, (int fd, const struct sockaddr *to, socklen_t len),
    (fd, to, len))
WRAP(int, listen, -1, (int fd, int queue), (fd, queue))
WRAP(int, connect, -1, (int fd, const struct sockaddr *to, socklen_t len),
    (fd, to, len))
WRAP(int, accept4, -1,
    (int fd, struct sockaddr *from, socklen_t *len, int flags),
    (fd, from, len, flags))
WRAP(int, shutdown, -1, (int fd, int how), (fd, how))
WRAP(int, getsockname, -1, (int fd, struct sockaddr *own, socklen_t *len),
    (fd, own, len))
WRAP(int, getpeername, -1, (int fd, struct sockaddr *own, socklen_t *len),
    (fd, own, len))
WRAP_KINDS(int, getsockopt, option, -1,
    (int fd, int level, int option, void *value, socklen_t *len),
    (fd, level, option, value, len))
WRAP_KINDS(int, setsockopt, option, -1,
    (int fd, int level, int option, const void *value, socklen_t len),
    (fd, level, option, value, len))
WRAP(ssize_t, send, -1, (int fd, const void *buf, size_t len, int flags),
    (fd, buf, len, flags))
WRAP(ssize_t, sendto, -1,
    (int fd, const void *buf, size_t len, int flags, const struct sockaddr *to,
	socklen_t to_len),
    (fd, buf, len, flags, to, to_len))
WRAP(ssize_t, sendmsg, -1, (int fd, const struct msghdr *m, int flags),
    (fd, m, flags))
WRAP(int, sendmmsg, -1, (int fd, struct mmsghdr *list, unsigned n, int flags),
    (fd, list, n, flags))
WRAP(ssize_t, recv, -1, (int fd, void *buf, size_t len, int flags),
    (fd, buf, len, flags))
WRAP(ssize_t, recvmsg, -1, (int fd, struct msghdr *m, int flags),
    (fd, m, flags))
WRAP(int, recvmmsg, -1,
    (int fd, struct mmsghdr *list, unsigned n, int flags,
	struct timespec *timeout),
    (fd, list, n, flags, timeout))

WRAP(ssize_t, read, -1, (int fd, void *buf, size_t len), (fd, buf, len))
WRAP(ssize_t, pread, -1, (int fd, void *buf, size_t len, off_t at),
    (fd, buf, len, at))
WRAP(ssize_t, write, -1, (int fd, const void *buf, size_t len), (fd, buf, len))
WRAP(ssize_t, writev, -1, (int fd, const struct iovec *v, int n), (fd, v, n))
WRAP(ssize_t, pwrite, -1, (int fd, const void *buf, size_t len, off_t at),
    (fd, buf, len, at))
WRAP(ssize_t, splice, -1,
    (int in, off_t *in_at, int out, off_t *out_at, size_t len, unsigned flags),
    (in, in_at, out, out_at, len, flags))
WRAP(int, dup, -1, (int fd), (fd))
WRAP(int, dup2, -1, (int fd, int to), (fd, to))
WRAP(int, dup3, -1, (int fd, int to, int flags), (fd, to, flags))
WRAP(int, pipe2, -1, (int fds[2], int flags), (fds, flags))
WRAP(int, eventfd, -1, (unsigned value, int flags), (value, flags))
WRAP(int, memfd_create, -1, (const char *name, unsigned flags), (name, flags))
WRAP(int, ftruncate, -1, (int fd, off_t len), (fd, len))
WRAP(int, posix_fallocate, EINTR, (int fd, off_t at, off_t len), (fd, at, len))
WRAP(int, epoll_create1, -1, (int flags), (flags))
WRAP_KINDS(int, epoll_ctl, op, -1,
    (int fd, int op, int of, struct epoll_event *e), (fd, op, of, e))
WRAP(int, epoll_wait, -1, (int fd, struct epoll_event *e, int n, int timeout),
    (fd, e, n, timeout))
WRAP(int, poll, -1, (struct pollfd * p, nfds_t n, int timeout), (p, n, timeout))

WRAP(int, stat, -1, (const char *path, struct stat *st), (path, st))
WRAP(int, lstat, -1, (const char *path, struct stat *st), (path, st))
WRAP(int, fstat, -1, (int fd, struct stat *st), (fd, st))
WRAP(int, fstatat, -1, (int dir, const char *path, struct stat *st, int flags),
    (dir, path, st, flags))
WRAP(int, mkdir, -1, (const char *path, mode_t mode), (path, mode))
WRAP(int, chmod, -1, (const char *path, mode_t mode), (path, mode))
WRAP(int, fchmod, -1, (int fd, mode_t mode), (fd, mode))
WRAP(int, rename, -1, (const char *from, const char *to), (from, to))
WRAP(int, renameat, -1, (int dir, const char *from, int to_dir, const char *to),
    (dir, from, to_dir, to))
WRAP(int, unlink, -1, (const char *path), (path))
WRAP(int, unlinkat, -1, (int dir, const char *path, int flags),
    (dir, path, flags))
WRAP(ssize_t, readlink, -1, (const char *path, char *buf, size_t len),
    (path, buf, len))

WRAP(void *, mmap, MAP_FAILED,
    (void *at, size_t len, int prot, int flags, int fd, off_t offset),
    (at, len, prot, flags, fd, offset))
WRAP(int, mprotect, -1, (void *at, size_t len, int prot), (at, len, prot))
WRAP(pid_t, fork, -1, (void), ())
WRAP(pid_t, setsid, -1, (void), ())
WRAP(int, setgroups, -1, (size_t n, const gid_t *groups), (n, groups))
WRAP(int, initgroups, -1, (const char *user, gid_t group), (user, group))
WRAP(int, setresgid, -1, (gid_t real_gid, gid_t effective, gid_t saved),
    (real_gid, effective, saved))
WRAP(int, setresuid, -1, (uid_t real_uid, uid_t effective, uid_t saved),
    (real_uid, effective, saved))
WRAP(int, fexecve, -1, (int fd, char *const *argv, char *const *env),
    (fd, argv, env))
WRAP(int, kill, -1, (pid_t pid, int signo), (pid, signo))
WRAP(pid_t, waitpid, -1, (pid_t pid, int *status, int options),
    (pid, status, options))
WRAP(int, getrlimit, -1, (__rlimit_resource_t which, struct rlimit *r),
    (which, r))
WRAP(int, setrlimit, -1, (__rlimit_resource_t which, const struct rlimit *r),
    (which, r))
WRAP(int, sched_getaffinity, -1, (pid_t pid, size_t size, cpu_set_t *set),
    (pid, size, set))

/* With arguments that differ; all of them pass in registers. */

int
open(const char *path, int flags, ...)
{
	REAL(open);
	va_list v;
	int mode;

	va_start(v, flags);
	mode = va_arg(v, int);
	va_end(v);
	return fails("open", -1, BACK) ? -1 : real(path, flags, mode);
}

int
openat(int dir, const char *path, int flags, ...)
{
	REAL(openat);
	va_list v;
	int mode;

	va_start(v, flags);
	mode = va_arg(v, int);
	va_end(v);
	return fails("openat", -1, BACK) ? -1 : real(dir, path, flags, mode);
}

/* What a build with _FORTIFY_SOURCE calls instead. */
int __open_2(const char *, int);
int __openat_2(int, const char *, int);
int __poll_chk(struct pollfd *, nfds_t, int, size_t);

int
__open_2(const char *path, int flags)
{
	REAL(__open_2);
	return fails("open", -1, BACK) ? -1 : real(path, flags);
}

int
__openat_2(int dir, const char *path, int flags)
{
	REAL(__openat_2);
	return fails("openat", -1, BACK) ? -1 : real(dir, path, flags);
}

int
__poll_chk(struct pollfd *p, nfds_t n, int timeout, size_t size)
{
	REAL(__poll_chk);
	return fails("poll", -1, BACK) ? -1 : real(p, n, timeout, size);
}

int
fcntl(int fd, int command, ...)
{
	REAL(fcntl);
	va_list v;
	void *argument;

	va_start(v, command);
	argument = va_arg(v, void *);
	va_end(v);
	return fails("fcntl", command, BACK) ? -1 : real(fd, command, argument);
}

int
ioctl(int fd, unsigned long request, ...)
{
	REAL(ioctl);
	va_list v;
	void *argument;

	va_start(v, request);
	argument = va_arg(v, void *);
	va_end(v);
	return fails("ioctl", (long)request, BACK)
	    ? -1
	    : real(fd, request, argument);
}

int
prctl(int option, ...)
{
	REAL(prctl);
	unsigned long a[4];
	va_list v;

	va_start(v, option);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(v, unsigned long);
	va_end(v);
	return fails("prctl", option, BACK)
	    ? -1
	    : real(option, a[0], a[1], a[2], a[3]);
}

long
syscall(long number, ...)
{
	REAL(syscall);
	va_list v;
	long a[6];

	va_start(v, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(v, long);
	va_end(v);
	return fails("syscall", number, BACK)
	    ? -1
	    : real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
