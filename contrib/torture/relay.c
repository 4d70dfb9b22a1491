/*
 * relay.c: clients that are far away, on one machine.
 *
 *   relay MILLISECONDS
 *
 * Makes a TUN device in the network namespace that it is started in and one in
 * a namespace of its own, and carries packets between them, each after so many
 * milliseconds, in order and without a loss of its own: when a queue is full it
 * reads no more, and the device's queue fills.  Says "ready" when both are up.
 * The near end is 10.77.0.1, the far one 10.77.0.2; "nsenter -n -t PID" puts a
 * client there.  It ends with its parent, or on SIGTERM, and then prints its
 * counts.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PACKET_MAX 2048
#define QUEUE_MAX 8192
#define DEVICE_QUEUE 10000
#define A_TURN 256
#define NS UINT64_C(1000000000)

struct packet {
	uint64_t due_ns;
	ssize_t len;
	char bytes[PACKET_MAX];
};

struct way {
	int from, to;
	struct packet *queue;
	unsigned head, len, longest;
	uint64_t carried, refused, latest_ns;
};

static volatile sig_atomic_t stopped;

static void
on_term(int signo)
{
	(void)signo;
	stopped = 1;
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

static void
set_address(int s, struct ifreq *r, unsigned long request, const char *text)
{
	struct sockaddr_in a = {.sin_family = AF_INET};

	inet_pton(AF_INET, text, &a.sin_addr);
	memcpy(&r->ifr_addr, &a, sizeof(a));
	if (ioctl(s, request, r) == -1)
		err(1, "address %s", text);
}

/* A device in the namespace that we are in. */
static int
open_device(const char *own, const char *peer)
{
	struct ifreq r = {.ifr_name = "tun0"};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd == -1 || s == -1)
		err(1, "/dev/net/tun");
	r.ifr_flags = IFF_TUN | IFF_NO_PI;
	if (ioctl(fd, TUNSETIFF, &r) == -1)
		err(1, "TUNSETIFF");
	r.ifr_qlen = DEVICE_QUEUE;
	if (ioctl(s, SIOCSIFTXQLEN, &r) == -1)
		err(1, "SIOCSIFTXQLEN");
	set_address(s, &r, SIOCSIFADDR, own);
	set_address(s, &r, SIOCSIFDSTADDR, peer);
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(s, SIOCSIFFLAGS, &r) == -1)
		err(1, "SIOCSIFFLAGS");
	close(s);
	return fd;
}

static void
take(struct way *w, uint64_t delay_ns)
{
	for (int i = 0; i < A_TURN && w->len < QUEUE_MAX; i++) {
		struct packet *p = &w->queue[(w->head + w->len) % QUEUE_MAX];

		p->len = read(w->from, p->bytes, sizeof(p->bytes));
		if (p->len <= 0)
			return;
		p->due_ns = now_ns() + delay_ns;
		if (++w->len > w->longest)
			w->longest = w->len;
	}
}

/* When the next is due; UINT64_MAX: none. */
static uint64_t
give(struct way *w)
{
	uint64_t now = now_ns();

	while (w->len > 0 && w->queue[w->head].due_ns <= now) {
		const struct packet *p = &w->queue[w->head];

		if (write(w->to, p->bytes, (size_t)p->len) == p->len)
			w->carried++;
		else if (errno == EAGAIN)
			return now + NS / 1000;
		else
			w->refused++;
		if (now - p->due_ns > w->latest_ns)
			w->latest_ns = now - p->due_ns;
		w->head = (w->head + 1) % QUEUE_MAX;
		w->len--;
		now = now_ns();
	}
	return w->len > 0 ? w->queue[w->head].due_ns : UINT64_MAX;
}

static void
carry(struct way ways[2], uint64_t delay_ns)
{
	struct pollfd p[2];

	while (!stopped) {
		uint64_t now, next = UINT64_MAX, due;
		struct timespec ts;

		for (int i = 0; i < 2; i++) {
			take(&ways[i], delay_ns);
			due = give(&ways[i]);
			next = due < next ? due : next;
			p[i].fd = ways[i].from;
			p[i].events = ways[i].len < QUEUE_MAX ? POLLIN : 0;
		}
		now = now_ns();
		due = next > now ? next - now : 0;
		ts.tv_sec = (time_t)(due / NS);
		ts.tv_nsec = (long)(due % NS);
		if (ppoll(p, 2, next == UINT64_MAX ? NULL : &ts, NULL) == -1 &&
		    errno != EINTR)
			err(1, "ppoll");
	}
}

static void
tell(const char *name, const struct way *w)
{
	printf("%s: %llu carried, %llu refused, longest queue %u of %d, "
	       "latest %.1f ms\n",
	    name, (unsigned long long)w->carried,
	    (unsigned long long)w->refused, w->longest, QUEUE_MAX,
	    (double)w->latest_ns / 1e6);
}

int
main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_term};
	struct way ways[2] = {{0}};
	unsigned long ms;
	char *end;

	ms = argc == 2 ? strtoul(argv[1], &end, 10) : 0;
	if (argc != 2 || *argv[1] == '\0' || *end != '\0' || ms > 10000)
		errx(2, "usage: relay MILLISECONDS");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_TIMERSLACK, 1);
	sigaction(SIGTERM, &sa, NULL);
	ways[0].from = ways[1].to = open_device("10.77.0.1", "10.77.0.2");
	if (unshare(CLONE_NEWNET) == -1)
		err(1, "unshare");
	ways[0].to = ways[1].from = open_device("10.77.0.2", "10.77.0.1");
	for (int i = 0; i < 2; i++) {
		ways[i].queue = calloc(QUEUE_MAX, sizeof(*ways[i].queue));
		if (ways[i].queue == NULL)
			err(1, "queue");
	}
	puts("ready");
	fflush(stdout);
	carry(ways, (uint64_t)ms * (NS / 1000));
	tell("to the clients", &ways[0]);
	tell("to the server", &ways[1]);
	return 0;
}
