/*
 * A worker in the sandbox: a call that is denied ends it, with a line that names the
 * call, and the next worker serves; one that the program has allowed it may make.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/valgrind.h"
#include "sandbox/sandbox.h"
#include "service.h"
#include "tap.h"
#include "unit.h"

#define SOON_MS 10000

static struct pfk_listen want = {.kind = PFK_TCP};

/* The worker's deed at the byte that a client sends, and the name of the call. */
static const struct deed {
	char byte;
	const char *call; /* NULL: it may do it */
	const char *name;
} deeds[] = {
    {'a', NULL, "nothing"},
    {'b', "execve", "run a program"},
    {'c', "openat", "open a file for writing"},
    {'d', "kill", "signal the master"},
    {'e', "setsockopt", "attach a filter"},
    {'f', "fcntl", "clear O_NONBLOCK"},
    {'g', "ioctl", "clear it by FIONBIO"},
    {'h', "socket", "open an Internet socket"},
    {'i', "mmap", "map memory that can be executed"},
    {'j', "clone", "start a process"},
    {'k', "listen", "listen"},
    {'l', "ptrace", "trace"},
    {'m', NULL, "duplicate a descriptor"},
    {'n', NULL, "make a call that the program has allowed"},
    {'o', NULL, "signal itself"},
    {'p', "setsockopt", "let a listener want signatures"},
    {'q', NULL, "set other options of TCP"},
    {'r', "setsockopt", "let a socket take descriptors again"},
    {'s', "setsockopt", "let a connection keep its port"},
};

static void
attach(int fd)
{
	struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = {.len = 1, .filter = &all};

	setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static void
want_signatures(int fd)
{
	struct tcp_md5sig key = {.tcpm_keylen = 1, .tcpm_key = "k"};

	setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG_EXT, &key, sizeof(key));
}

static void
set_tcp(int fd)
{
	static const int options[] = {TCP_NODELAY, TCP_CONGESTION, TCP_QUICKACK,
	    TCP_USER_TIMEOUT, TCP_FASTOPEN, TCP_NOTSENT_LOWAT, TCP_ULP,
	    TCP_INQ};
	int on = 1;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		setsockopt(fd, IPPROTO_TCP, options[i], &on, sizeof(on));
}

static void
take_descriptors(int fd)
{
	int on = 1;

	setsockopt(fd, SOL_SOCKET, 83 /* SO_PASSRIGHTS */, &on, sizeof(on));
}

static void
keep_port(int fd)
{
	int off = 0;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off));
}

static void
set_other(char byte, int fd)
{
	if (byte == 's')
		keep_port(fd);
	if (byte == 'r')
		take_descriptors(fd);
	if (byte == 'p')
		want_signatures(fd);
	if (byte == 'q')
		set_tcp(fd);
}

static void
map_code(void)
{
	void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map != MAP_FAILED)
		munmap(map, 4096);
}

static void
run_program(void)
{
	char *argv[] = {(char *)(uintptr_t) "true", NULL};

	execv("/bin/true", argv);
}

static void
be_forked(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
}

static void
duplicate(int fd)
{
	int copy = dup(fd);

	if (copy != -1)
		close(copy);
}

static void
do_it(char byte)
{
	int sv[2], off = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv) == -1)
		return;
	switch (byte) {
	case 'b':
		run_program();
		break;
	case 'c':
		off = open("/tmp/prefork-sandbox", O_WRONLY | O_CREAT, 0600);
		break;
	case 'd':
		kill(getppid(), SIGWINCH);
		break;
	case 'e':
		attach(sv[0]);
		break;
	case 'f':
		fcntl(sv[0], F_SETFL, 0);
		break;
	case 'g':
		ioctl(sv[0], FIONBIO, &off);
		break;
	case 'h':
		off = socket(AF_INET, SOCK_STREAM, 0);
		break;
	case 'i':
		map_code();
		break;
	case 'j':
		be_forked();
		break;
	case 'k':
		listen(sv[0], 1);
		break;
	case 'l':
		syscall(SYS_ptrace, 0, 0, 0, 0);
		break;
	case 'm':
		duplicate(sv[0]);
		break;
	case 'n':
		off = getsid(0);
		break;
	case 'o':
		raise(SIGWINCH);
		break;
	default:
		set_other(byte, sv[0]);
		break;
	}
	close(sv[0]);
	close(sv[1]);
}

static void *
made(struct pfk_transport *tr, void *arg)
{
	(void)arg;
	return tr;
}

static void
received(void *self, const void *data, size_t len)
{
	if (len > 0)
		do_it(*(const char *)data);
	pfk_write(self, data, len);
}

static uint16_t *port;

static int
worker_init(struct pfk_worker *w, void *arg)
{
	static const struct pfk_protocol proto = {.connection_made = made,
	    .data_received = received};
	struct pfk_addr bound;
	int fd;

	(void)arg;
	if (pfk_worker_listen(w, &want, 1, &fd) == -1 ||
	    pfk_serve(pfk_worker_loop(w), fd, &proto, NULL, NULL) == NULL)
		return -1;
	bound.len = sizeof(bound.in6);
	getsockname(fd, &bound.sa, &bound.len);
	*port = pfk_addr_port(&bound);
	return 0;
}

/* True: the byte came back. */
static bool
send_byte(char byte)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
	    .sin_port = htons(*port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char answer = 0;
	bool back = connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
	    send(fd, &byte, 1, MSG_NOSIGNAL) == 1 &&
	    poll(&p, 1, SOON_MS) == 1 && recv(fd, &answer, 1, 0) == 1 &&
	    answer == byte;

	close(fd);
	return back;
}

static void
try_deed(const struct deed *d)
{
	size_t from = service_log_size();
	char line[80];

	if (d->call == NULL) {
		ok(send_byte(d->byte), "%s: it may", d->name);
		return;
	}
	ok(!send_byte(d->byte), "%s: the connection ends", d->name);
	snprintf(line, sizeof(line), "denied the system call %s (", d->call);
	if (!ok(service_wait(from, line) != 0, "%s: the log names %s", d->name,
		d->call))
		diag("%s", service_log() + from);
	ok(service_wait(from, "started worker 0") != 0, "%s: the next worker",
	    d->name);
	ok(send_byte('a'), "%s: it serves", d->name);
}

int
main(void)
{
	static const struct pfk_hooks hooks = {.worker_init = worker_init};
	const char *why;

	if (!pfk__sandbox_possible(&why))
		skip_all("%s", why);
	if ((pfk__sandbox_offer() & PFK__SANDBOX_CALLS) == 0)
		skip_all("no seccomp here");
	port = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pfk_addr_parse(&want.addr, "127.0.0.1", 0);
	is_int(pfk_sandbox_allow("no-such-call"), -1, "no such call");
	is_int(errno, EINVAL, "EINVAL");
	is_int(pfk_sandbox_allow("getsid"), 0, "one more call");
	service_sandbox = PFK_SANDBOX_ON;
	service_start(&hooks, 1);
	if (service_wait(0, "ready: 1 worker") == 0) {
		diag("%s", service_log());
		skip_all("it cannot be confined here");
	}
	ok(service_wait(0, "workers are confined: no capability") != 0,
	    "it says so");
	for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++)
		try_deed(&deeds[i]);
	is_int(service_end(SIGTERM), 0, "exit status");
	return done_testing();
}
