/*
 * knocks.c: orphans' knocks at the control socket, and the messages of their
 * channels, with descriptors of all kinds. None is left open, and none is waited for.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/received.h"
#include "linger.h"
#include "master.h"
#include "unit.h"

#define FDS_MAX 128
#define SENT_MAX 4
#define HOURS_9 32400

enum { NOTHING, CHANNEL, STREAM, LISTENER, LINGERING, NESTED, KINDS };

struct input {
	const uint8_t *at;
	size_t left;
};

static int passed[SENT_MAX], kept[FDS_MAX], channel;
static size_t n_fds, n_kept;

/* For the library: no worker is started, also when the wait for orphans is over. */
static bool running;

int
socketpair(int domain, int type, int protocol, int fds[2])
{
	errno = EMFILE;
	return running
	    ? -1
	    : (int)syscall(SYS_socketpair, domain, type, protocol, fds);
}

static uint8_t
next(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->at++;
}

/* The process that knocks: a master that does not trust it kills it. */
static pid_t
orphan(void)
{
	static pid_t pid;

	if (pid != 0 && waitpid(pid, NULL, WNOHANG) == 0)
		return pid;
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == -1)
		abort();
	if (pid == 0) {
		syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		for (;;)
			syscall(SYS_pause);
	}
	return pid;
}

/* Until the end of the input. */
static int
keep(int fd)
{
	if (fd == -1 || n_kept == FDS_MAX)
		abort();
	return kept[n_kept++] = fd;
}

/* A connection whose close(2) waits for nine hours; its peer is kept. */
static int
lingering(void)
{
	struct linger l = {.l_onoff = 1, .l_linger = HOURS_9};
	static char bytes[65536];
	struct pfk_addr to;
	int listener = unit_listen(&to), fd = unit_connect(&to);

	keep(accept(listener, NULL, NULL));
	close(listener);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (write(fd, bytes, sizeof(bytes)) > 0)
		continue;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	return fd;
}

static int
pair(int type)
{
	int fds[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) ==
	    -1)
		abort();
	keep(fds[0]);
	return fds[1];
}

static int
descriptor(unsigned kind)
{
	struct pfk_addr bound;
	int fd, in;

	switch (kind) {
	case CHANNEL:
		fd = pair(SOCK_SEQPACKET);
		channel = kept[n_kept - 1];
		return fd;
	case STREAM:
		return pair(SOCK_STREAM);
	case LISTENER:
		return unit_listen(&bound);
	case LINGERING:
		return lingering();
	case NESTED:
		fd = pair(SOCK_DGRAM);
		in = lingering();
		linger_send(kept[n_kept - 2], "x", 1, &in, 1);
		close(in);
		return fd;
	default:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	}
}

/* Up to four for a message; they are the receiver's alone once it is sent. */
static void
make_descriptors(struct input *in)
{
	unsigned n = next(in) % (SENT_MAX + 1);

	for (n_fds = 0; n_fds < n; n_fds++)
		passed[n_fds] = descriptor(next(in) % KINDS);
}

static void
send_with(int to, const void *buf, size_t len)
{
	bool sent = linger_send(to, buf, len, passed, n_fds) != -1;

	while (n_fds > 0) {
		int fd = passed[--n_fds];

		/* One that was not sent would make this process wait. */
		if (sent)
			close(fd);
		else
			pfk__close_received(fd);
	}
}

static size_t
take(struct input *in, void *dst, size_t len)
{
	size_t n = len < in->left ? len : in->left;

	memcpy(dst, in->at, n);
	in->at += n;
	in->left -= n;
	return n;
}

static int
start_client(struct pfk__master *m)
{
	struct pfk__client *c = calloc(1, sizeof(*c));

	if (c == NULL)
		abort();
	*c = (struct pfk__client){.control = m->control,
	    .fd = pair(SOCK_STREAM),
	    .right = PFK__RIGHT_KNOCK,
	    .pid = orphan(),
	    .uid = geteuid(),
	    .passed = -1};
	if (pfk__client_start(c) == -1)
		abort();
	return kept[n_kept - 1];
}

static void
knock(struct input *in, int client, struct pfk__knock *k)
{
	*k = (struct pfk__knock){.version = PFK__KNOCK_VERSION,
	    .message_bytes = sizeof(struct pfk__message),
	    .workers = 2,
	    .generation = 1};
	/* The rest is honest, so that more of them are taken over. */
	take(in, k, next(in) % (sizeof(*k) + 1));
	k->first = PFK__CONTROL_BINARY;
	/* Or this process would be killed. */
	if (k->keeper == getpid())
		k->keeper = 0;
	send_with(client, k, sizeof(*k));
}

static void
say(struct input *in, const struct pfk__knock *k)
{
	struct pfk__message msg = {.kind = PFK_TCP};

	take(in, &msg, next(in) % (sizeof(msg) + 1));
	msg.type = next(in) % (PFK__MSG_TYPES + 1);
	msg.slot = pfk__knock_slot(k);
	msg.generation = k->generation;
	send_with(channel, &msg, sizeof(msg));
}

static void
turn(struct pfk__master *m, int turns)
{
	running = true;
	fuzz_turn(m->loop, turns);
	running = false;
}

static void
step(struct pfk__master *m, struct input *in, int *client, struct pfk__knock *k)
{
	char bytes[256];
	size_t len;
	unsigned what = next(in);

	if (n_kept + 4 * SENT_MAX > FDS_MAX)
		return;
	/* Before a knock there is no channel. */
	if (channel == -1 && what % 4 > 1)
		what -= 2;
	make_descriptors(in);
	switch (what % 4) {
	case 0:
		*client = start_client(m);
		knock(in, *client, k);
		break;
	case 1:
		/* A stream carries no descriptors without a byte. */
		bytes[0] = '\n';
		len = take(in, bytes, next(in));
		send_with(*client, bytes, len > 0 ? len : 1);
		break;
	case 2:
		say(in, k);
		break;
	default:
		send_with(channel, bytes, take(in, bytes, next(in)));
	}
	if (what >= 32)
		turn(m, 1);
}

static int
count(void)
{
	int n = 0;

	for (int fd = 0; fd < 4 * FDS_MAX; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

static void
end(struct pfk__master *m)
{
	/* Its worker was never started. */
	for (int i = 0; i < PFK_WORKERS_MAX; i++)
		m->places[i] = (struct pfk__place){.past = m->places[i].past};
	fuzz_master_free(m);
}

/* The first byte has the state of the service, each further step begins with one. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct pfk__knock k = {0};
	struct pfk__master *m;
	int before, client;
	unsigned state = next(&in);

	orphan();
	before = count();
	m = fuzz_master_new();
	m->started = (state & 1) != 0;
	m->stop = (state & 2) != 0 ? PFK__STOP_GRACEFUL : PFK__STOP_NONE;
	channel = -1;
	n_kept = 0;
	client = start_client(m);
	while (in.left > 0)
		step(m, &in, &client, &k);
	turn(m, 2);
	end(m);
	if (count() != before + (int)n_kept)
		abort();
	while (n_kept > 0)
		close(kept[--n_kept]);
	return 0;
}
